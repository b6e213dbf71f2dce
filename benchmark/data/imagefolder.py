"""Any tree `train/CLASS/*.jpg` with optional `val` and `test`: `imagefolder/NAME` is the folder NAME in the root.

A tree without these three holds training images only. Classes may be nested: the images in `train/cats/siam/` are of
the class `cats/siam`. Folder names are the join key, so a missing or an extra folder cannot shift a label.

A folder with `val` and no `test`, as ImageNet's, was published with that part to be evaluated on: `val` is the test
part there, and validation is split off train as for every source without a part for it. With all three, each is what
it is called.

Where the hierarchy says `ignore: others`, only the folders of its classes are looked at.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from benchmark.data import files, nearby
from benchmark.data.source import Availability, Images, Raw, Request
from benchmark.errors import InputError

PARTS = ("train", "val", "test")

# Where to get what `imagefolder/NAME` of a shipped hierarchy stands for: size, then what to do. ImageNet's sizes are
# those of https://image-net.org/challenges/LSVRC/2012/2012-downloads.php, its MD5s those of torchvision.
ORIGINS = {
    "imagenet": (
        "138 GB and 6.3 GB to download, as much on disk",
        (
            "register at https://image-net.org/download-images.php",
            "fetch ILSVRC2012_img_train.tar (MD5 1d675b47d978889d74fa0da5fadfb00e) and ILSVRC2012_img_val.tar "
            "(MD5 29b22e2961454d5413ddabcf34fc5622)",
            "unpack them as train/WNID/*.JPEG and val/WNID/*.JPEG (train is a tar of one tar per class; "
            "torchvision.datasets.ImageNet(ROOT, split=...) sorts both)",
        ),
    )
}


def fingerprint(request: Request) -> str:
    """SHA-256 of every file's place, size and time: a changed file is decoded again."""
    return files.fingerprint(_folder(request), _labelled(request), request.hierarchy.image_size)


def read(request: Request) -> Raw[Images]:
    """All parts, still in their files."""
    return files.raw(_labelled(request), request.hierarchy.image_size)


def availability(request: Request) -> Availability:
    """Whether there is a training part, and class folders in every part; nobody publishes what to verify them by."""
    folder = _named_folder(request)
    size, how = ORIGINS.get(request.name, ("", (f"put the images there as {folder}/train/CLASS/IMAGE",)))
    flat = {part: place for part, place in _parts(folder).items() if not any(map(Path.is_dir, _entries(place)))}
    if "train" in flat or "train" not in _parts(folder):
        return Availability(False, f"no class folders in {folder / 'train'}", (*_elsewhere(request), *how), size)
    for place in flat.values():
        remedy = f"sort its images into {place}/CLASS/"
        return Availability(False, f"no class folders in {place}", (remedy,), size)
    return Availability(True, note=f"in {folder}")


def _entries(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def classes(request: Request) -> tuple[str, ...]:
    """Folders that have images."""
    return tuple(sorted({name for names in class_folders(_folder(request)).values() for name in names}))


def class_folders(folder: Path) -> dict[str, list[str]]:
    """The sorted classes that have images, of each part of a folder by its name on disk."""
    return {place.name: sorted({name for _, name in _files(place)}) for place in _parts(folder).values()}


def _elsewhere(request: Request) -> tuple[str, ...]:
    """What to do about folders of at least half the classes with images in them, if such lie around."""
    leaves, wanted = request.hierarchy.leaves, _named_folder(request)
    for folder in nearby.folders(request.root):
        there = [name for name in leaves if (folder / name).is_dir()]
        if 2 * len(there) < len(leaves) or not files.listed(folder / there[0]):
            continue
        if folder.name == "train":
            return (
                nearby.remedy(
                    request.root, wanted, folder.parent, [path.name for path in _parts(folder.parent).values()]
                ),
            )
        return (nearby.remedy(request.root, wanted, folder, there),)
    return ()


def _named_folder(request: Request) -> Path:
    folder = request.root / request.name
    if not request.name or ".." in Path(request.name).parts or Path(request.name).is_absolute():
        raise InputError(
            f"source {request.hierarchy.source!r}: expected imagefolder/NAME, a folder below the data root; "
            "move the images there"
        )
    return folder


def _folder(request: Request) -> Path:
    folder = _named_folder(request)
    if not folder.is_dir() or "train" not in _parts(folder):
        raise InputError(
            f"no folder {folder / 'train'}; put the images there as train/CLASS/IMAGE, or name another root "
            "with --data-root or C2F_DATA_ROOT"
        )
    return folder


def _parts(folder: Path) -> dict[str, Path]:
    found = {part: folder / part for part in PARTS if (folder / part).is_dir()} or {"train": folder}
    if "val" in found and "test" not in found:
        found["test"] = found.pop("val")
    return found


def _with_ancestors(names: Iterable[str]) -> frozenset[str]:
    """Paths of class folders, and of the folders they are in."""
    pieces = [name.split("/") for name in names]
    return frozenset("/".join(path[: depth + 1]) for path in pieces for depth in range(len(path)))


def _labelled(request: Request) -> dict[str, files.Labelled]:
    tree = request.hierarchy
    wanted = frozenset(tree.leaves) if tree.ignore == "others" else None
    return {part: list(_files(place, wanted)) for part, place in _parts(_folder(request)).items()}


def _files(part: Path, wanted: Collection[str] | None = None) -> Iterator[tuple[Path, str]]:
    """Images with their class, the path of their folder below the part's; only of the wanted classes, if any are."""
    entered = None if wanted is None else _with_ancestors(wanted)
    for at, below, names in os.walk(part, followlinks=True):
        name = Path(at).relative_to(part).as_posix()
        above = "" if name == "." else f"{name}/"
        below[:] = sorted(child for child in below if entered is None or above + child in entered)
        if above and (wanted is None or name in wanted):
            yield from ((Path(at, file), name) for file in sorted(names) if file.lower().endswith(files.EXTENSIONS))
