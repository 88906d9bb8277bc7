"""Shows which checkpoint was worth its RL, and whether the predictors were right."""
