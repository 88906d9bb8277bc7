"""A run on this machine: kfp.local in a process of its own, the board that shows it, its containers, its verdicts again."""
