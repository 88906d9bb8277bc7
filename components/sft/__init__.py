"""The KFP component of sft."""
