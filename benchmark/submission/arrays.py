"""A file of predictions from a stranger: which arrays it may hold, of what kind, shape and range.

Headers are read first: an array is unpacked only when its size is known to be bounded, and never unpickled.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark.archive import EPISODES
from benchmark.errors import InputError
from benchmark.probes.episodes import SETTINGS
from benchmark.schema import Task
from benchmark.submission import parcel
from benchmark.submission.parcel import shown

MAX_IMAGES = 200_000  # of a test split; also episodes of a setting
MAX_BYTES = 2**29  # of all arrays unpacked, and of each


@dataclass(frozen=True)
class Form:
    """What an array of `metrics.Predictions` must be.

    Attributes:
        shape: letters (N images, M images of a shift, E episodes, F fine classes, K coarse classes) or numbers.
        kind: `label` for integers of any size, `float` for float32.
        low: smallest value; None for any finite one.
        high: largest value, or the letter that it is below.
        optional: whether it may be absent.
        undefined: whether NaN is a value.
    """

    shape: tuple[str, ...]
    kind: Literal["label", "float"] = "label"
    low: float | None = 0
    high: float | str | None = None
    optional: bool = False
    undefined: bool = False


# A form for every field of `metrics.Predictions`; a test holds the names to it.
FORMS: Mapping[str, Form] = {
    "fine": Form(("N",), high="F"),
    "shots": Form(("F",), high=1e9),
    "coarse_logits": Form(("N", "K"), "float", low=None, optional=True),
    "source": Form(("M", "2"), high="K", optional=True),
    "linear": Form(("N",), high="F"),
    "linear_within": Form(("N",), high="F"),
    "knn": Form(("N",), high="F"),
    "ncm": Form(("N",), high="F"),
    "first_hit": Form(("N",), high="N"),
    "average_precision": Form(("N",), "float", high=1, undefined=True),
    "episodes": Form(("E", "K", "2"), high="N"),
    "clusters": Form(("N",), high="F"),
    "tuned": Form(("N",), high="F", optional=True),
}


def read(path: Path, task: Task) -> dict[str, Any]:
    """The arrays of a file of predictions, each as `FORMS` wants it.

    Args:
        path: of the npz.
        task: gives the numbers of classes.

    Raises:
        InputError: naming the first array that is not, and what it should be.
    """
    sizes = {"F": len(task.evaluation.fine_classes), "K": len(task.evaluation.coarse_classes)}
    try:
        with parcel.opened(path, parcel.MAX_MEMBER_BYTES["predictions"], len(_known())) as archive:
            members = _members(archive)
            (sizes["N"],) = _header(archive, members["fine"]).shape or (0,)
            headers = {name: _header(archive, member) for name, member in members.items()}
            for name, header in headers.items():  # all of them before any array
                _check_header(name, members[name].file_size, header, sizes)
            total = sum(8 * math.prod(header.shape) for header in headers.values())  # labels become int64
            if total > MAX_BYTES:
                raise ValueError(f"{total:,} bytes unpacked, at most {MAX_BYTES:,} are")
            arrays = {name: _array(archive, member) for name, member in members.items()}
        for name, array in arrays.items():
            _check_values(name, array, sizes)
    except parcel.UNREADABLE as error:
        raise InputError(f"predictions are not those of a row ({shown(error)}); make them anew") from None
    return arrays


def _known() -> dict[str, Form]:
    """Forms by the names of arrays in the file."""
    episodes = {f"{EPISODES}{setting}": FORMS["episodes"] for setting in SETTINGS}
    return {name: form for name, form in FORMS.items() if name != "episodes"} | episodes


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members by name of the array, all of them known, none too many and none missing."""
    members = {member.orig_filename: member for member in archive.infolist()}
    wanted = {f"{name}.npy": form for name, form in _known().items()}
    if len(members) != len(archive.infolist()):
        raise ValueError("an array is there twice")
    if strange := sorted(members.keys() - wanted):
        raise ValueError(f"{strange[0]!r} is no array of theirs")
    if missing := sorted(name for name, form in wanted.items() if not form.optional and name not in members):
        raise ValueError(f"{missing[0].removesuffix('.npy')} is missing")
    for name, member in members.items():
        if member.file_size > MAX_BYTES:
            raise ValueError(f"{name} has {member.file_size:,} bytes unpacked, at most {MAX_BYTES:,} are")
        if member.flag_bits & 0x1 or member.compress_type not in parcel.METHODS:
            raise ValueError(f"{name} is encrypted, or compressed in a way that is not read")
    return {name.removesuffix(".npy"): member for name, member in members.items()}


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: Any
    fortran: bool
    length: int  # bytes before the values


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Header:
    """What an array says of itself; only as much is unpacked."""
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
                return _Header(shape, dtype, fortran, file.tell())
        except Exception as error:  # whatever its parser of Python literals makes of a header
            raise ValueError(f"{member.filename} has no header of an array ({type(error).__name__})") from None
    raise ValueError(f"{member.filename} is in version {version} of the format; expected (1, 0)")


def _check_header(name: str, num_bytes: int, header: _Header, sizes: Mapping[str, int]) -> None:
    form = _known()[name]
    fits = header.dtype == np.float32 if form.kind == "float" else header.dtype.kind in "iu"
    if header.dtype.hasobject or not header.dtype.isnative or header.dtype.shape or not fits:
        raise ValueError(f"{name} holds {header.dtype}; expected {'float32' if form.kind == 'float' else 'integers'}")
    expected = [int(letter) if letter.isdigit() else sizes.get(letter, letter) for letter in form.shape]
    agree = len(header.shape) == len(expected) and all(
        size == wanted or (isinstance(wanted, str) and 0 <= size)
        for size, wanted in zip(header.shape, expected, strict=True)
    )
    wanted = ", ".join(str(size) for size in expected)
    if not agree or header.fortran or max(header.shape) > MAX_IMAGES or not 0 < sizes["N"]:
        raise ValueError(f"{name} has shape {header.shape}; expected ({wanted}), none above {MAX_IMAGES:,}")
    if num_bytes != header.length + math.prod(header.shape) * header.dtype.itemsize:
        raise ValueError(f"{name} has {num_bytes:,} bytes, which are not those of shape {header.shape}")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    return np.lib.format.read_array(io.BytesIO(parcel.content(archive, member)), allow_pickle=False)


def _check_values(name: str, array: Any, sizes: Mapping[str, int]) -> None:
    form = _known()[name]
    values = array[~np.isnan(array)] if form.kind == "float" and form.undefined else array
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinity")
    if form.low is None or not values.size:
        return
    low, high = values.min().item(), values.max().item()
    limit = sizes[form.high] - 1 if isinstance(form.high, str) else form.high
    if low < form.low or (limit is not None and high > limit):
        raise ValueError(f"{name} has values from {low:g} to {high:g}; expected {form.low:g} to {limit}")
    if name.startswith(EPISODES) and (array[..., 0] > array[..., 1]).any():
        raise ValueError(f"{name} has more right answers than questions")
