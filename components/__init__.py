"""The stages of the experiment, each a folder, and what they share."""

import os

# Before MLflow and Hugging Face's hub are imported: what they report to their makers they send from a thread, whose search for
# a host reads the environment while accelerate writes it, and that has ended a training with SIGSEGV.
os.environ.setdefault("DO_NOT_TRACK", "true")
