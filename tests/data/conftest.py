"""Requests for sources that need no hierarchy file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data.source import Request
from benchmark.schema import Hierarchy


@pytest.fixture(scope="session")
def make_request() -> Callable[..., Request]:
    """A request for `source` by a hierarchy of classes a and b under x, and c under y."""

    def make(source: str, root: Path = Path("nowhere"), image_size: int = 8, download: bool = False) -> Request:
        paths = (("x", "a"), ("x", "b"), ("y", "c"))
        tree = Hierarchy("made", 1, "Made", source, image_size, ("coarse", "fine"), paths, "coarse", "fine")
        return Request(tree, root, download)

    return make
