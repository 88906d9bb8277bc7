"""MLflow: one run per pipeline run, one child run per candidate, with its datasets and models. Losing it stops nothing.

Everything is looked up before it is written, so an outcome can be logged again, or more completely, without a duplicate. Runs
are created with MlflowClient alone: an orchestrator's own MLFLOW_RUN_ID is read (runs.py) and never written to.
"""
