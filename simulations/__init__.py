"""What runs without devices: tasks, data sets, the vectorised fleet, studies."""
