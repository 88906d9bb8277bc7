"""Runs on this machine: kfp.local in a process of its own, progress, cache, containers, and the work folder."""
