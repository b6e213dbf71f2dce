"""Tiny ImageNet (200 classes, 64 px) as published: the folder `tiny-imagenet-200` in the root.

`train/WNID/images/*.JPEG`, and `val/images/*.JPEG` with their classes in `val/val_annotations.txt`; or both sorted into
folders, `train/WNID/*` and `val/WNID/*`, as many tools leave them. Class names are WordNet ids. The published `val` is
the test part: the labels of the folder `test` were never published, and it is not looked at.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmark.data import files, nearby
from benchmark.data.source import Availability, Images, Raw, Request
from benchmark.errors import InputError

FOLDER = "tiny-imagenet-200"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SIZE = "248 MB to download"  # 248,100,043 bytes, as its server says
CLASSES = 200
PARTS = ("train", "val")


def fingerprint(request: Request) -> str:
    """SHA-256 of every file's place, class, size and time: a changed file is decoded again."""
    return files.fingerprint(_folder(request), _parts(request), request.hierarchy.image_size)


def read(request: Request) -> Raw[Images]:
    """Train and test, still in their files."""
    return files.raw(_parts(request), request.hierarchy.image_size)


def availability(request: Request) -> Availability:
    """Whether both parts are there."""
    folder = request.root / FOLDER
    missing = [folder / part for part in PARTS if not (folder / part).is_dir()]
    if not missing:
        return Availability(True, note=f"in {folder}; no MD5 is published of its files")
    lie = nearby.find(request.root, folder, PARTS, (f"{FOLDER}.zip",), _is_tiny)
    return Availability(False, f"no folder {missing[0]}", (*lie, f"unpack {URL} in {request.root}"), SIZE)


def classes(request: Request) -> tuple[str, ...]:
    """WordNet ids: the folders of the training part."""
    return tuple(sorted(path.name for path in (_folder(request) / "train").iterdir() if path.is_dir()))


def _is_tiny(folder: Path) -> bool:
    """Whether it is Tiny ImageNet and not another ImageNet, which has the same parts."""
    return sum(path.is_dir() for path in (folder / "train").iterdir()) == CLASSES


def _folder(request: Request) -> Path:
    folder = request.root / FOLDER
    for part in PARTS:
        if not (folder / part).is_dir():
            raise InputError(
                f"tiny-imagenet: no folder {folder / part}; unpack {URL} in {request.root}, or name another root with "
                "--data-root or C2F_DATA_ROOT"
            )
    return folder


def _parts(request: Request) -> dict[str, files.Labelled]:
    folder = _folder(request)
    annotations = folder / "val" / "val_annotations.txt"
    test = _annotated(annotations) if annotations.is_file() and (folder / "val" / "images").is_dir() else None
    return {"train": list(_sorted(folder / "train")), "test": list(test or _sorted(folder / "val"))}


def _sorted(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files of `CLASS/images/*` or `CLASS/*`."""
    for directory in sorted(path for path in folder.iterdir() if path.is_dir()):
        inner = directory / "images"
        yield from ((path, directory.name) for path in files.listed(inner if inner.is_dir() else directory))


def _annotated(annotations: Path) -> Iterator[tuple[Path, str]]:
    """Files and classes of lines `FILE<TAB>WNID<TAB>box`."""
    for number, line in enumerate(annotations.read_text(errors="replace").splitlines(), start=1):
        columns = line.split("\t")
        if len(columns) < 2 or Path(columns[0]).name != columns[0]:
            raise InputError(f"{annotations}:{number}: expected FILE<TAB>WNID, found {line[:60]!r}; unpack {URL} again")
        yield annotations.parent / "images" / columns[0], columns[1]
