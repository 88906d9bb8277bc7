"""The KFP component of rl."""
