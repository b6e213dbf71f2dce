"""Collapse metrics: pure functions of class moments, in float64, on the device of the features.

Features are read in chunks, so a matrix mapped from a file is never held twice. `measure.measure` computes every
metric; to call one alone, start from `moments.moments(features, labels)`, with `unit=True` where its docstring says so.
"""
