"""Runs on a Kubeflow cluster: the pipeline as a package, the server that runs it, progress, limits and checks."""
