"""A model of how Kubeflow Pipelines 2.17.0 runs a compiled package, so that a test can ask what a cluster would do.

Files and lines named here are of the tag 2.17.0 of kubeflow/pipelines, below backend/src/v2, and of Argo Workflows 4.0.5.
"""
