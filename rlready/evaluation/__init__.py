"""A model on problems: samples, verdicts and scores, the same for predictors, benchmark and `rlready evaluate`."""
