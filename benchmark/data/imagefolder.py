"""Any tree `train/CLASS/*.jpg` with optional `val` and `test`: `imagefolder/NAME` is the folder NAME in the root.

A tree without these three holds training images only. Classes may be nested: the images in `train/cats/siam/` are of
the class `cats/siam`.
Pixels: Pillow decodes to RGB, the shorter edge is scaled to the task's image size (bicubic), the centre is cropped.
Folder names are the join key, so a missing or an extra folder cannot shift a label.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmark.data import nearby
from benchmark.data.source import Availability, Part, Raw, Request
from benchmark.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
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
    """SHA-256 of every file's path, size and time: a changed file is decoded again."""
    folder, sha = _folder(request), hashlib.sha256(str(request.hierarchy.image_size).encode())
    for part, place in _parts(folder).items():
        for path, name in _files(place):
            stat = path.stat()
            sha.update(f"{part}/{name}/{path.name}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return sha.hexdigest()


def read(request: Request) -> Raw:
    """Decode all parts, as many files at once as there are cores."""
    folder = _folder(request)
    found = {part: list(_files(place)) for part, place in _parts(folder).items()}
    classes = tuple(sorted({name for files in found.values() for _, name in files}))
    position = {name: i for i, name in enumerate(classes)}
    size = request.hierarchy.image_size
    parts = {}
    for part, files in found.items():
        images = np.empty((len(files), 3, size, size), np.uint8)
        with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes
            for i, image in enumerate(pool.map(lambda item: _decode(item[0], size), files)):
                images[i] = image
        parts[part] = Part(images, np.array([position[name] for _, name in files], np.int64))
    return Raw(classes, parts)


def availability(request: Request) -> Availability:
    """Whether there is a training part, and class folders in every part; nobody publishes what to verify them by."""
    folder = _named_folder(request)
    size, how = ORIGINS.get(request.name, ("", (f"put the images there as {folder}/train/CLASS/IMAGE",)))
    if not folder.is_dir() or "train" not in _parts(folder):
        return Availability(False, f"no folder {folder / 'train'}", (*_elsewhere(request), *how), size)
    for place in _parts(folder).values():
        if not any(path.is_dir() for path in place.iterdir()):
            remedy = f"sort its images into {place}/CLASS/"
            return Availability(False, f"{place} holds no class folders", (remedy,), size)
    return Availability(True, note=f"in {folder}")


def classes(request: Request) -> tuple[str, ...]:
    """Folders that have images."""
    return tuple(sorted({name for names in class_folders(_folder(request)).values() for name in names}))


def class_folders(folder: Path) -> dict[str, list[str]]:
    """The sorted classes that have images, of each part of a folder."""
    return {part: sorted({name for _, name in _files(place)}) for part, place in _parts(folder).items()}


def _elsewhere(request: Request) -> tuple[str, ...]:
    """What to do about folders of at least half the classes with images in them, if such lie around."""
    leaves, wanted = request.hierarchy.leaves, _named_folder(request)
    for folder in nearby.folders(request.root):
        there = [name for name in leaves if (folder / name).is_dir()]
        if 2 * len(there) < len(leaves) or not any(
            path.suffix.lower() in EXTENSIONS for path in (folder / there[0]).iterdir()
        ):
            continue
        if folder.name == "train":
            return (nearby.remedy(request.root, wanted, folder.parent, _parts(folder.parent)),)
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
    return {part: folder / part for part in PARTS if (folder / part).is_dir()} or {"train": folder}


def _files(part: Path) -> Iterator[tuple[Path, str]]:
    """Images with their class, the path of their folder below the part's."""
    for at, below, names in os.walk(part, followlinks=True):
        below.sort()
        name = Path(at).relative_to(part).as_posix()
        if name != ".":
            yield from ((Path(at, file), name) for file in sorted(names) if file.lower().endswith(EXTENSIONS))


def _decode(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be decoded ({error}); replace or remove it") from error
    return np.asarray(fitted).transpose(2, 0, 1)
