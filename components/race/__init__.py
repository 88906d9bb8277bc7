"""The KFP component of race."""
