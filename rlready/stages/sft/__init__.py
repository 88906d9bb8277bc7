"""Supervised fine-tuning of one candidate."""
