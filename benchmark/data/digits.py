"""The 1,797 handwritten digits that ship with scikit-learn (UCI Optical Recognition, 8 x 8, 17 grey levels)."""

import hashlib
from importlib import resources

import numpy as np

from benchmark.data.source import Availability, Images, Part, Raw, Request


def fingerprint(request: Request) -> str:
    """SHA-256 of the bundled file."""
    packed = resources.files("sklearn.datasets").joinpath("data", "digits.csv.gz").read_bytes()
    return hashlib.sha256(packed).hexdigest()


def read(request: Request) -> Raw[Images]:
    """All digits as one part: there is no published split of these."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # (N, 1, 8, 8)
    part = Part(grey, digits.target.astype(np.int64))
    return Raw(tuple(str(name) for name in digits.target_names), {"train": part})


def availability(request: Request) -> Availability:
    """Always: they come with scikit-learn."""
    return Availability(True, note="inside scikit-learn")


def classes(request: Request) -> tuple[str, ...]:
    """The ten digits."""
    return tuple("0123456789")
