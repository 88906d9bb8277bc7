"""MLflow: one run a pipeline run, one child run a candidate, with its datasets and models. Losing it stops nothing.

Everything is looked up before it is written, so an outcome can be logged again, or fuller, without a duplicate. Runs
are made with MlflowClient alone: an orchestrator's own MLFLOW_RUN_ID is read (origin.py) and never written to.
"""
