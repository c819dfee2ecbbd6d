"""What runs beside the devices: the edge client."""
