"""The rule that decides which candidates get RL: leads, thresholds, budget, ranking. Pure functions of records."""
