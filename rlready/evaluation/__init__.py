"""A model on problems: samples, judgements and scores, the same for predictors, benchmark and `rlready evaluate`."""
