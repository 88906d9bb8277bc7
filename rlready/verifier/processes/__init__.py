"""The processes in which answers are judged, with their limits and sandbox."""
