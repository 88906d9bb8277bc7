"""A run on a Kubeflow cluster: the pipeline as a package, where its stages go, the server that runs it, and what it needs."""
