"""Task -> train, val and test: decoded, joined to the hierarchy by class name, split, and coarsened."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.data import cache, digits, imagefolder, splits, synthetic, torchvision_sets
from benchmark.data.source import Part, Raw, Request, Source
from benchmark.errors import InputError
from benchmark.schema import CoarseSplit, Data, Hierarchy, Split, Task

FAMILIES: Mapping[str, Source] = MappingProxyType(
    {
        "digits": digits,
        "imagefolder": imagefolder,
        "synthetic": synthetic,
        "torchvision": torchvision_sets,
    }
)
VAL_SHARE = 0.1  # of train, where a source has no validation part
TEST_SHARE = 0.3  # of train, where a source has no test part


@dataclass(frozen=True)
class Decoded:
    """A source's images as decoded, and the digest of their content."""

    raw: Raw
    digest: str


def decode(hierarchy: Hierarchy, root: Path, download: bool = False) -> Decoded:
    """The images of a hierarchy's source, from the cache where it has them.

    Raises:
        InputError: if images are missing, corrupt, or do not cover the hierarchy's classes exactly.
    """
    source, request = FAMILIES[hierarchy.source.partition("/")[0]], Request(hierarchy, root, download)
    raw, content = cache.load(source.fingerprint(request), lambda: source.read(request))
    _check_classes(hierarchy, raw)
    return Decoded(raw, content[:16])


def load(task: Task, decoded: Decoded) -> Data:
    """The three splits with fine labels."""
    raw = decoded.raw
    to_fine = _fine_label_of(task, raw.classes)
    kept = {name: np.flatnonzero(to_fine[part.labels] >= 0) for name, part in raw.parts.items()}
    chosen: dict[str, tuple[str, NDArray[np.int64]]] = {name: (name, index) for name, index in kept.items()}
    for name, share in (("test", TEST_SHARE), ("val", VAL_SHARE)):
        if name not in chosen:
            index = chosen["train"][1]
            labels = raw.parts["train"].labels[index]
            rest, held = splits.hold_out(labels, share, f"{task.hierarchy.source}:{name}")
            chosen["train"], chosen[name] = ("train", index[rest]), ("train", index[held])
    made = {name: _split(raw.parts[part], index, to_fine) for name, (part, index) in chosen.items()}
    _check_populated(task, made)
    return Data(made["train"], made["val"], made["test"], split_digest=_digest(chosen))


def coarsen(split: Split, task: Task) -> CoarseSplit:
    """The same images with coarse labels only."""
    return CoarseSplit(split.images, torch.tensor(task.fine_to_coarse)[split.labels])


def _check_classes(hierarchy: Hierarchy, raw: Raw) -> None:
    wanted, found = set(hierarchy.leaves) | set(hierarchy.ignore), set(raw.classes)
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    if missing or extra:
        problems = [f"{len(missing)} classes without images: {_some(missing)}"] if missing else []
        problems += [f"{len(extra)} classes nobody claims: {_some(extra)}"] if extra else []
        raise InputError(
            f"{hierarchy.name}: {hierarchy.source} has {'; '.join(problems)}. List them in the hierarchy "
            "(under `ignore` to leave them out), or mend the data"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")


def _fine_label_of(task: Task, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """For each class of the source its fine label; -1 for the ignored."""
    hierarchy = task.hierarchy
    label = dict(zip(hierarchy.leaves, hierarchy.labels(task.fine_level), strict=True))
    return np.array([label.get(name, -1) for name in classes], np.int64)


def _split(part: Part, index: NDArray[np.int64], to_fine: NDArray[np.int64]) -> Split:
    whole = len(index) == len(part.labels)
    images = part.images if whole else part.images[index]  # the whole part stays memory-mapped
    return Split(torch.from_numpy(images), torch.from_numpy(to_fine[part.labels[index]]))


def _check_populated(task: Task, made: Mapping[str, Split]) -> None:
    for name, split in made.items():
        counts = torch.bincount(split.labels, minlength=len(task.fine_classes))
        empty = [task.fine_classes[i] for i in torch.nonzero(counts == 0).flatten().tolist()]
        if empty:
            raise InputError(
                f"{task.name}: no {name} images of {_some(empty)}; add images (at least 4 a class where "
                "val and test are split off), or list the classes under `ignore`"
            )


def _digest(chosen: Mapping[str, tuple[str, NDArray[np.int64]]]) -> str:
    sha = hashlib.sha256()
    for name in ("train", "val", "test"):
        part, index = chosen[name]
        sha.update(f"{name}<{part}:".encode() + np.ascontiguousarray(index, "<i8").tobytes())
    return sha.hexdigest()[:16]
