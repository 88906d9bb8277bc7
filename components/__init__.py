"""The stages of the experiment, each a folder, and what they share."""
