"""Read-outs of fine labels from frozen features: pure functions from (bank, queries) to predictions."""
