"""Decides which candidates go on after a part of RL's steps."""
