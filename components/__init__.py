"""The stages of the experiment, each a folder, and what they share."""

import os

# Before MLflow, Hugging Face's hub and vLLM are imported: what they report to their makers they send from a thread. It looks up
# a host, and so reads the environment, while accelerate writes it; that has ended a training with SIGSEGV.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # DO_NOT_TRACK must be true for MLflow, and 1 for vLLM
