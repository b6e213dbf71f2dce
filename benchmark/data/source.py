"""What a source of images is: a family of functions from a hierarchy to the parts it holds."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.schema import Hierarchy

Pixels: TypeAlias = NDArray[np.uint8]


class Images(Protocol):
    """Images on their way into the cache, one after the other: an array is that, and so are files and batches."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    def __iter__(self) -> Iterator[Pixels]:
        """N images (C, H, W).

        Raises:
            InputError: if one is missing or corrupt.
        """


ImagesT = TypeVar("ImagesT", bound=Images, covariant=True)


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
class Part(Generic[ImagesT]):
    """Images of one part of a source."""

    images: ImagesT  # (N, C, H, W) uint8
    labels: NDArray[np.int64]  # (N,) positions in Raw.classes


@dataclass(frozen=True)
class Raw(Generic[ImagesT]):
    """Everything a source holds: `train`, and `val` or `test` where it has them."""

    classes: tuple[str, ...]
    parts: Mapping[str, Part[ImagesT]]


class Source(Protocol):
    """A family of sources: a module with these two functions."""

    def fingerprint(self, request: Request) -> str:
        """A cheap identity of the bytes to decode; names the decoded cache.

        Raises:
            InputError: if the images are missing: the folder looked in, and how to get them there.
        """

    def read(self, request: Request) -> Raw[Images]:
        """All parts; their images may still lie in files, which are decoded as they are iterated over.

        Raises:
            InputError: if the images are missing or corrupt.
        """


class Watcher(Protocol):
    """Something that watches images being decoded, e.g. a progress bar."""

    def begin(self, images: int) -> None:
        """So many images will be decoded."""

    def step(self, images: int) -> None:
        """So many more are done."""


@dataclass(frozen=True)
class Availability:
    """Whether the images of a source can be read here and now.

    Attributes:
        ready: every file is there and whole.
        missing: one line, what is not there or damaged; empty if ready.
        how: what to do about it, an item for each command or address.
        size: of the download and on disk, as published; empty where nobody says.
        note: one line worth knowing, e.g. how the files were verified.
    """

    ready: bool
    missing: str = ""
    how: tuple[str, ...] = ()
    size: str = ""
    note: str = ""


@runtime_checkable
class Informed(Source, Protocol):
    """A family that knows more about its sources than whether it can decode them.

    Both functions work offline, write nothing and decode no images.
    """

    def availability(self, request: Request) -> Availability:
        """Whether the images are there, verified where there is anything to verify them by.

        Raises:
            InputError: if there is no such source.
        """

    def classes(self, request: Request) -> tuple[str, ...]:
        """The classes that `read` would give.

        Raises:
            InputError: if the images are missing.
        """


def download_command(request: Request) -> str:
    """The command that fetches the images of a task and does no more."""
    words = f"--tasks {request.hierarchy.name} --methods baseline --recipe quickstart --limit 0"
    return f"c2f run {words} --download --data-root {shlex.quote(str(request.root))}"
