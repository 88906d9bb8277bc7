"""Splits the data once, the same for every candidate."""
