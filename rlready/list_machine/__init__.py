"""The built-in miniature: a list machine whose traces a 0.3M-parameter model learns on a laptop in a minute."""
