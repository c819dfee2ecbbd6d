"""What a .tflite file says of its model: read and checked, counted and planned."""
