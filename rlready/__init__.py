"""The stages of the experiment, each a folder, and what they share."""

import logging
import os

# Before MLflow, Hugging Face's hub and vLLM are imported: what they report to their makers they send from a thread. It looks up
# a host, and so reads the environment, while accelerate writes it; that has ended a training with SIGSEGV.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # DO_NOT_TRACK must be true for MLflow, and 1 for vLLM
# MLflow prints "View run ... at" for each run that ends, and urllib3 warns of each retry: the reason of a failure drowns there.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
logging.getLogger("urllib3").setLevel(logging.ERROR)
