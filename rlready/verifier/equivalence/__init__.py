"""The exact check: reads LaTeX and compares what it means, with no code and no library of math-verify."""
