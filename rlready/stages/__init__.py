"""What each stage does, as plain functions. Stages meet only in records."""
