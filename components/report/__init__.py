"""The KFP component of report."""
