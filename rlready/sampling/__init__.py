"""Drawing completions: one interface (engine.py), several engines, and which of them samples (choose.py)."""
