"""Models and tokenizers: finding, checking, loading and prompting them."""
