"""Devices whose world drifts after their model was deployed, and what then helps them."""
