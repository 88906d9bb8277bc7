"""Running the pipeline: one stage in its process, a run on this machine, a run on Kubeflow."""
