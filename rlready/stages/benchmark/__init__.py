"""Scores a model on the evaluation problems."""
