"""Samples and counts that other tools logged, as candidates: no model, no GPU and no torch is needed to rank them.

records.py reads files row by row, a file per tool turns its rows into samples, log.py counts them, comparable.py checks that
the logs of two candidates may be compared, and sweep.py makes the outcomes that gate and report read. source.py reads
the log that a recipe names, for plan and for the predictors stage.
"""
