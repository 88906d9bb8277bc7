"""The KFP components: a folder per stage."""
