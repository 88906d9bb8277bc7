"""The KFP component of gate."""
