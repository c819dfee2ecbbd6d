"""Families of tasks that devices draw theirs from."""
