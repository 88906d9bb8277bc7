"""The verifier for other tools: a reward for TRL (reward.py), a scorer for Inspect and a filter for lm-eval (scorers.py)."""

from rlready.rewards.reward import make_reward as make_reward
from rlready.rewards.reward import reward as reward
