"""What the stages hand on: candidates, outcomes, verdicts, external results, and their JSON."""
