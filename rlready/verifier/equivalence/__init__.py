"""The exact check: reads LaTeX and compares its meaning, without math-verify or its libraries."""
