"""The KFP component of plan."""
