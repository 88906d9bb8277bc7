"""The KFP component of predictors."""
