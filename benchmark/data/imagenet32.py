"""Downsampled ImageNet, 32 px (Chrabaszcz, Loshchilov and Hutter, arXiv:1707.08819), in its published batches.

Files `train_data_batch_1` to `_10` and `val_data`, in `imagenet32`, `Imagenet32_train` or `Imagenet32_val` in the root;
`val_data` is the test part, as ImageNet's test labels are not public. Labels 1 to 1000 stand in an order of the set's
own, that of ImageNet's development kit; `imagenet32_classes.txt` has the WordNet id of each, line by line, and WordNet
ids are the class names.

The batches are pickles, and a pickle is a program: these are read by an unpickler that knows NumPy arrays and plain
containers, and nothing else.
"""

import hashlib
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data import nearby
from benchmark.data.source import Availability, Images, Part, Pixels, Raw, Request
from benchmark.errors import InputError

FOLDERS = ("imagenet32", "Imagenet32_train", "Imagenet32_val")
FILES = MappingProxyType(
    {"train": tuple(f"train_data_batch_{i}" for i in range(1, 11)), "test": ("val_data",)},
)
URL = "https://image-net.org/download-images.php"
SIZE = "3.7 GB to download"  # 3.46 GiB in the catalogue of TensorFlow Datasets (imagenet_resized/32x32)
EDGE, CLASSES = 32, 1000


@dataclass(frozen=True)
class Batches:
    """Images (N, 3, 32, 32) that lie in pickled batches, one of which is in memory at a time."""

    paths: Sequence[Path]
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, 32, 32)."""
        return (self.count, 3, EDGE, EDGE)

    def __iter__(self) -> Iterator[Pixels]:
        """Images in the order of the files."""
        for path in self.paths:
            yield from _batch(path)[0]


def fingerprint(request: Request) -> str:
    """SHA-256 of the files' names, sizes and times: there are no published checksums of them."""
    sha = hashlib.sha256(b"imagenet32")
    for names in FILES.values():
        for path in _paths(request, names):
            stat = path.stat()
            sha.update(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return sha.hexdigest()


def read(request: Request) -> Raw[Images]:
    """Train and test; the labels now, the pixels as they are iterated over."""
    parts: dict[str, Part[Images]] = {}
    for part, names in FILES.items():
        paths = _paths(request, names)
        labels = np.concatenate([_batch(path)[1] for path in paths])
        parts[part] = Part(Batches(paths, len(labels)), labels)
    return Raw(_classes(), parts)


def availability(request: Request) -> Availability:
    """Whether all batches are there, in any of the folders."""
    names = [name for part in FILES.values() for name in part]
    try:
        _paths(request, names)
    except InputError:
        missing = [name for name in names if not any((request.root / folder / name).is_file() for folder in FOLDERS)]
        wanted = request.root / FOLDERS[0]
        lie = nearby.find(request.root, wanted, [name for name in missing if name != "val_data"] or missing)
        how = (f"register at {URL}", f"unpack Imagenet32_train.zip and Imagenet32_val.zip in {request.root}")
        place = f"{', '.join(FOLDERS)} below {request.root}"
        return Availability(False, f"no {missing[0]} in {place}", (*lie, *how), SIZE)
    return Availability(True, note="no MD5 is published of the batches")


def classes(request: Request) -> tuple[str, ...]:
    """WordNet ids in the order of the labels, if the batches are here."""
    for names in FILES.values():
        _paths(request, names)
    return _classes()


def _classes() -> tuple[str, ...]:
    """WordNet ids in the order of the labels."""
    return tuple(resources.files("benchmark.data").joinpath("imagenet32_classes.txt").read_text().split())


def _paths(request: Request, names: Sequence[str]) -> list[Path]:
    found = []
    for name in names:
        places = [request.root / folder / name for folder in FOLDERS]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise InputError(
                f"imagenet32: no {name} in {', '.join(FOLDERS)} below {request.root}; get the 32 x 32 batches from "
                f"{URL} (an account is needed) and unpack them in {request.root / FOLDERS[0]}, or name another root "
                "with --data-root or C2F_DATA_ROOT"
            )
        found.append(path)
    return found


def _batch(path: Path) -> tuple[Pixels, NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,) in [0, 1000) of one file."""
    try:
        with path.open("rb") as file:
            batch = _Plain(file, encoding="latin1").load()
        images, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(f"{path}: not a batch of imagenet32 ({error}); get it again from {URL}") from error
    pixels = 3 * EDGE * EDGE
    count = len(labels) if labels.ndim == 1 else 0
    if images.dtype != np.uint8 or images.shape != (count, pixels) or not count:
        found = f"{images.dtype} {images.shape} and {labels.shape} labels"
        raise InputError(f"{path}: expected uint8 images (N, {pixels}) and N labels, found {found}; get it again")
    if labels.dtype.kind not in "iu" or labels.min() < 1 or labels.max() > CLASSES:
        raise InputError(f"{path}: expected integer labels from 1 to {CLASSES}, found others; get it again from {URL}")
    return images.reshape(-1, 3, EDGE, EDGE), labels.astype(np.int64) - 1


def _latin1(text: str, encoding: str) -> bytes:
    """What old protocols write bytes with; any other codec is refused."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"codec {encoding!r}")
    return text.encode("latin1")


# What NumPy's own pickles are rebuilt with, under the names its versions 1 and 2 gave it.
_REBUILD: Any = np.empty(0).__reduce_ex__(2)[0]
_FROM_BUFFER: Any = np.empty(0).__reduce_ex__(5)[0]
_KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = MappingProxyType(
    {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _REBUILD,
        ("numpy._core.multiarray", "_reconstruct"): _REBUILD,
        ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
        ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
        ("_codecs", "encode"): _latin1,
    }
)


class _Plain(pickle.Unpickler):
    """Arrays and plain containers; no other name is resolved, so nothing else can be called."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return _KNOWN[module, name]
