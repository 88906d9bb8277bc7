"""The records that stages exchange as JSON: candidates, outcomes and verdicts."""
