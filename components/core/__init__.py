"""What several stages share. Knows nothing of KFP."""
