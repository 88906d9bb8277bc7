"""Reinforcement learning with verifiable rewards (GRPO) of one candidate."""
