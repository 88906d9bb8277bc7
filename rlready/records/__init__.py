"""The records that stages exchange as JSON: candidates, outcomes, verdicts and external results."""
