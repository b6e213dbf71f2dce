"""Collapse metrics: pure functions of features and labels, in float64, in memory O(N D + D²)."""
