"""Fleets of microcontrollers that learn."""
