"""Samples and counts that other tools logged, as candidates: no model, no GPU and no torch is needed to rank them.

records.py reads files row by row, tools.py and plain.py turn the rows into samples, log.py counts them, and read.py chooses
among them by what is in a file. sweep.py checks that the logs of candidates may be compared, and makes the outcomes that gate
and report read.
"""
