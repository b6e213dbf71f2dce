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

from benchmark.data.source import Part, Raw, Request
from benchmark.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
PARTS = ("train", "val", "test")


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


def classes(folder: Path) -> dict[str, list[str]]:
    """The sorted classes that have images, of each part of a folder."""
    return {part: sorted({name for _, name in _files(place)}) for part, place in _parts(folder).items()}


def _folder(request: Request) -> Path:
    folder = request.root / request.name
    if not request.name or ".." in Path(request.name).parts or Path(request.name).is_absolute():
        raise InputError(
            f"source {request.hierarchy.source!r}: expected imagefolder/NAME, a folder below the data root; "
            "move the images there"
        )
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
