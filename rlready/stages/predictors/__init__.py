"""Measures what predicts the outcome of RL: generalization loss and Pass@k."""
