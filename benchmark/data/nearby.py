"""Images that are here but one folder off: where they lie, and what to type to have them found."""

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

BELOW_ROOT = 4  # levels searched below the data root; ImageNet's archive unpacks to ILSVRC/Data/CLS-LOC/train
BELOW_PARENT = 3  # and below the folder that holds it
MOST_FOLDERS = 3000  # looked into, so that a home folder as root costs no minutes
PARTS = ("train", "val", "test")  # folders of classes; what is below them are images


def folders(root: Path) -> Iterator[Path]:
    """The data root, folders below it, the folder that holds it, and folders below that; nearest first."""
    seen: set[Path] = set()
    for start, depth in ((root, BELOW_ROOT), (root.absolute().parent, BELOW_PARENT)):
        level = [start]
        for _ in range(depth + 1):
            fresh = [path for path in level if path.is_dir() and path.resolve() not in seen]
            seen.update(path.resolve() for path in fresh)
            yield from fresh
            level = [] if len(seen) > MOST_FOLDERS else [sub for path in fresh for sub in _subfolders(path)]


def _subfolders(path: Path) -> list[Path]:
    if path.name in PARTS:
        return []
    try:
        with os.scandir(path) as entries:
            return sorted(path / e.name for e in entries if not e.name.startswith(".") and e.is_dir())
    except OSError:  # unreadable: nothing of ours
        return []


def remedy(root: Path, wanted: Path, found: Path, names: Iterable[str]) -> str:
    """What makes a folder that was found serve as one that is wanted below the root: another root, a link or a move.

    Args:
        root: the data root.
        wanted: where the images should be.
        found: where they are.
        names: of the files or folders in it that matter.
    """
    tail = wanted.relative_to(root).parts
    found = found.absolute()
    if found.parts[-len(tail) :] == tail:
        return f"they lie in {found}: give --data-root {quote(Path(*found.parts[: -len(tail)]))}"
    if wanted.exists():
        return f"they lie in {found}: mv {' '.join(quote(found / name) for name in names)} {quote(wanted)}/"
    return f"they lie in {found}: mkdir -p {quote(wanted.parent)} && ln -s {quote(found)} {quote(wanted)}"


def quote(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
