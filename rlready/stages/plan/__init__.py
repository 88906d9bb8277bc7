"""Checks everything before anything expensive and expands the sweep."""
