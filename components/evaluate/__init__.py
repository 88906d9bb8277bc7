"""A model on a suite of benchmarks, without the pipeline."""
