"""The DAG, its command line and its recipes."""
