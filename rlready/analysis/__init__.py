"""Every number that the report, `calibrate` and MLflow share."""
