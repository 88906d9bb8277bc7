"""The KFP component of benchmark."""
