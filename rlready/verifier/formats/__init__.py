"""Formats (kinds of answer): how each is found in a completion and judged."""
