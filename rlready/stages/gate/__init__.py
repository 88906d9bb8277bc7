"""Decides which candidates go on to RL."""
