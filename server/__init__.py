"""What coordinates a fleet: pure steps, Flower strategies, the grid."""
