"""The KFP component of curate."""
