"""What is computed from counts, losses and scores, with how sure it is: pure functions of numbers."""
