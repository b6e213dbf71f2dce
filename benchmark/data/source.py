"""What a source of images is: a family of functions from a hierarchy to decoded parts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.schema import Hierarchy


@dataclass(frozen=True)
class Request:
    """Which images, and where to look for them."""

    hierarchy: Hierarchy
    root: Path
    download: bool = False

    @property
    def name(self) -> str:
        """The part of the source after the family, e.g. `CIFAR100`."""
        return self.hierarchy.source.partition("/")[2]


@dataclass(frozen=True)
class Part:
    """Decoded images of one part of a source."""

    images: NDArray[np.uint8]  # (N, C, H, W)
    labels: NDArray[np.int64]  # (N,) positions in Raw.classes


@dataclass(frozen=True)
class Raw:
    """Everything a source holds: `train`, and `val` or `test` where it has them."""

    classes: tuple[str, ...]
    parts: dict[str, Part]


class Source(Protocol):
    """A family of sources: a module with these two functions."""

    def fingerprint(self, request: Request) -> str:
        """A cheap identity of the bytes to decode; names the decoded cache.

        Raises:
            InputError: if the images are missing: the folder looked in, and how to get them there.
        """

    def read(self, request: Request) -> Raw:
        """Decode everything.

        Raises:
            InputError: if the images are missing or corrupt.
        """
