"""Runs on this machine: kfp.local in a process of its own, progress, cache, containers, storage and replay."""
