"""Task -> train, val and test: decoded, joined to the hierarchy by class name, split, and coarsened."""

import dataclasses
import hashlib
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.data import (
    cache,
    digits,
    imagefolder,
    imagenet32,
    imbalance,
    sop,
    splits,
    synthetic,
    tiny_imagenet,
    torchvision_sets,
)
from benchmark.data.gathered import Gathered
from benchmark.data.source import Part, Pixels, Raw, Request, Source, Watcher
from benchmark.errors import InputError
from benchmark.schema import CoarseSplit, Data, Hierarchy, Split, Task

FAMILIES: Mapping[str, Source] = MappingProxyType(
    {
        "digits": digits,
        "imagefolder": imagefolder,
        "imagenet32": imagenet32,
        "sop": sop,
        "synthetic": synthetic,
        "tiny-imagenet": tiny_imagenet,
        "torchvision": torchvision_sets,
    }
)
VAL_SHARE = 0.1  # of train, where a source has no validation part
TEST_SHARE = 0.3  # of train, where a source has no test part


@dataclass(frozen=True)
class Decoded:
    """A source's images as decoded, the digest of their content, and the name of their entry in the cache."""

    raw: Raw[Pixels]
    digest: str
    entry: str = ""


def decode(hierarchy: Hierarchy, root: Path, download: bool = False, watcher: Watcher | None = None) -> Decoded:
    """The images of a hierarchy's source, from the cache where it has them.

    Args:
        hierarchy: names the source.
        root: where the images are.
        download: fetch them if they are missing.
        watcher: told of every image that has to be decoded.

    Raises:
        InputError: if images are missing or corrupt.
    """
    source, request = FAMILIES[hierarchy.source.partition("/")[0]], Request(hierarchy, root, download)
    entry = source.fingerprint(request)
    raw, content = cache.load(entry, lambda: source.read(request), watcher)
    return Decoded(raw, content[:16], entry)


def reopen(entry: str) -> Decoded:
    """What another process has decoded; memory-mapped, so the pages of both are one.

    Raises:
        InputError: if the cache of this machine does not have it.
    """
    found = cache.find(entry)
    if found is None:
        raise InputError(
            f"cache {cache.folder()} of {platform.node()} does not have the decoded images of this launch; "
            "set C2F_CACHE to a folder that all its machines share"
        )
    return Decoded(found[0], found[1][:16], entry)


def cover(task: Task, decoded: Decoded, allow_missing: bool = False) -> Task:
    """The task, if its classes and those of the source are the same.

    Args:
        task: as asked for.
        decoded: the images of its source.
        allow_missing: drop classes without images from the task, and note them in it.

    Raises:
        InputError: naming classes without images, classes nobody claims, or a task of which too little is left.
    """
    tree = task.hierarchy
    missing, extra = unmatched(tree, decoded.raw.classes)
    if extra or (missing and not allow_missing):
        problems = [f"{len(missing)} classes without images: {_some(missing)}"] if missing else []
        problems += [f"{len(extra)} classes nobody claims: {_some(extra)}"] if extra else []
        remedy = "list them in the hierarchy (under `ignore` to leave them out), or mend the data"
        remedy += "; --allow-missing goes on without the former" if missing else ""
        raise InputError(f"{tree.name}: {tree.source} has {'; '.join(problems)}. Remedy: {remedy}")
    return without(task, missing) if missing else task


def unmatched(tree: Hierarchy, classes: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Classes of a hierarchy that a source lacks, and those of the source that nobody claims; both sorted."""
    ignored = set(classes) if tree.ignore == "others" else set(tree.ignore)
    missing = sorted(set(tree.leaves) - set(classes))
    return tuple(missing), tuple(sorted(set(classes) - set(tree.leaves) - ignored))


def without(task: Task, missing: tuple[str, ...]) -> Task:
    """The task without some classes, and without superclasses that lose all they are pretrained or evaluated on."""
    tree = task.hierarchy
    left = tree.only(set(tree.leaves) - set(missing))
    target = tuple(name for name in tree.target if name not in missing)
    note = f"{tree.name}: {len(missing)} classes are left out for want of images: {_some(missing)}"
    left = dataclasses.replace(left, target=target, missing=missing, warnings=(note,))  # the file's are of all classes
    smaller = dataclasses.replace(task, hierarchy=left)
    pretrained, evaluated = smaller.pretraining.coarse_classes, smaller.evaluation.coarse_classes
    whole = set(pretrained) & set(evaluated)
    if len(whole) < 2 or (tree.target and not left.target) or not _has_fine_classes(smaller):
        raise InputError(
            f"{task.name}: without {len(missing)} classes that have no images ({_some(missing)}) no task is left; "
            "get the images, or choose a task that they cover"
        )
    halves = [path[-1] for path in left.paths if path[tree.levels.index(task.coarse_level)] not in whole]
    return without(task, tuple(sorted({*missing, *halves}))) if halves else smaller


def _has_fine_classes(task: Task) -> bool:
    """Whether some superclass still has two fine classes to tell apart; a shift is measured without, too."""
    evaluated = task.evaluation
    return task.kind != "coarse-to-fine" or len(evaluated.fine_classes) > len(evaluated.coarse_classes)


def load(task: Task, decoded: Decoded) -> Data:
    """The three splits with fine labels.

    Training images are thinned out, where the task says so, before validation is held out of them.
    """
    raw = decoded.raw
    to_fine = _fine_label_of(task, raw.classes)
    kept = {name: np.flatnonzero(to_fine[part.labels] >= 0) for name, part in raw.parts.items()}
    chosen: dict[str, tuple[str, NDArray[np.int64]]] = {name: (name, index) for name, index in kept.items()}
    if "test" not in chosen:
        chosen["train"], chosen["test"] = _hold_out(task, raw, chosen["train"][1], "test", TEST_SHARE)
    chosen["train"] = ("train", _thinned(task, raw, chosen["train"][1], to_fine))
    shots = np.bincount(to_fine[raw.parts["train"].labels[chosen["train"][1]]], minlength=len(task.fine_classes))
    if "val" not in chosen:
        chosen["train"], chosen["val"] = _hold_out(task, raw, chosen["train"][1], "val", VAL_SHARE)
    made = {name: _split(raw.parts[part], index, to_fine) for name, (part, index) in chosen.items()}
    _check_populated(task, made)
    return Data(made["train"], made["val"], made["test"], torch.from_numpy(shots), split_digest=_digest(chosen))


def _hold_out(
    task: Task, raw: Raw[Pixels], index: NDArray[np.int64], name: str, share: float
) -> tuple[tuple[str, NDArray[np.int64]], tuple[str, NDArray[np.int64]]]:
    """What stays in train, and what becomes another split."""
    rest, held = splits.hold_out(raw.parts["train"].labels[index], share, f"{task.hierarchy.source}:{name}")
    return ("train", index[rest]), ("train", index[held])


def _thinned(task: Task, raw: Raw[Pixels], index: NDArray[np.int64], to_fine: NDArray[np.int64]) -> NDArray[np.int64]:
    """The training images that are left of a long-tailed or imbalanced task; fine classes in the source's order."""
    tree = task.hierarchy
    if tree.long_tail == 1 and not tree.subclass_counts:
        return index
    order = list(dict.fromkeys(to_fine[to_fine >= 0].tolist()))  # fine labels in the source's order
    place = np.argsort(order)[to_fine[raw.parts["train"].labels[index]]]
    if tree.subclass_counts:
        wanted = imbalance.subclass_counts([task.fine_to_coarse[label] for label in order], tree.subclass_counts)
    else:
        wanted = imbalance.long_tail_counts(int(np.bincount(place).max()), len(order), tree.long_tail)
    return index[imbalance.thin(place, wanted)]


def coarsen(split: Split, task: Task) -> CoarseSplit:
    """The same images with coarse labels only."""
    return CoarseSplit(split.images, torch.tensor(task.fine_to_coarse)[split.labels])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")


def _fine_label_of(task: Task, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """For each class of the source its fine label; -1 for the ignored."""
    hierarchy = task.hierarchy
    label = dict(zip(hierarchy.leaves, hierarchy.labels(task.fine_level), strict=True))
    return np.array([label.get(name, -1) for name in classes], np.int64)


def _split(part: Part[Pixels], index: NDArray[np.int64], to_fine: NDArray[np.int64]) -> Split:
    decoded, whole = torch.from_numpy(part.images), len(index) == len(part.labels)  # either way it stays memory-mapped
    images = decoded if whole else Gathered(decoded, torch.from_numpy(index))
    return Split(images, torch.from_numpy(to_fine[part.labels[index]]))


def _check_populated(task: Task, made: Mapping[str, Split]) -> None:
    for name, split in made.items():
        counts = torch.bincount(split.labels, minlength=len(task.fine_classes))
        empty = [task.fine_classes[i] for i in torch.nonzero(counts == 0).flatten().tolist()]
        if empty:
            raise InputError(
                f"{task.name}: no {name} images of {_some(empty)}; add images (at least 4 a class where "
                "val and test are split off), list the classes under `ignore`, or thin train out less"
            )


def _digest(chosen: Mapping[str, tuple[str, NDArray[np.int64]]]) -> str:
    sha = hashlib.sha256()
    for name in ("train", "val", "test"):
        part, index = chosen[name]
        sha.update(f"{name}<{part}:".encode() + np.ascontiguousarray(index, "<i8").tobytes())
    return sha.hexdigest()[:16]
