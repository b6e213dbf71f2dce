"""Reference benchmark for coarse-to-fine transfer."""

__version__ = "0.1.0"
