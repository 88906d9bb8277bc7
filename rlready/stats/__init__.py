"""Statistics: pure functions from counts, losses and scores to estimates with intervals."""
