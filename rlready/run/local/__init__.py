"""A run on this machine: kfp.local in a process of its own, the progress table, its containers, its verdicts again."""
