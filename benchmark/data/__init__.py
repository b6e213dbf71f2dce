"""Where pixels come from: one module per source family, the decoded cache, splits, and the image policy."""

from benchmark.data.loading import Decoded, coarsen, cover, decode, load, reopen, without

__all__ = ["Decoded", "coarsen", "cover", "decode", "load", "reopen", "without"]
