"""Image files as an array that is decoded while it is iterated over, on all cores and in little memory.

Pixels: Pillow decodes to RGB, the shorter edge is scaled to the task's image size (bicubic), the centre is cropped.
Small JPEGs are decoded by torchvision, which takes less time, where it gives the pixels that Pillow gives.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from benchmark.data.source import Part, Pixels, Raw
from benchmark.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
CHUNK = 16  # images that a thread decodes in one go
AHEAD = 4  # chunks per core that are decoded before they are asked for
JPEG = b"\xff\xd8\xff"
MOST_BYTES = 1 << 18  # of a file that is tried as a small JPEG; no bomb of pixels is so small

Labelled = Sequence[tuple[Path, str]]  # files and their class names


@dataclass(frozen=True)
class Files:
    """Images (N, 3, size, size) that lie in N files."""

    paths: Sequence[Path]
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, size, size)."""
        return (len(self.paths), 3, self.size, self.size)

    def __iter__(self) -> Iterator[Pixels]:
        """Images in order; the next ones are decoded meanwhile.

        Raises:
            InputError: naming the file that is missing or corrupt.
        """
        waiting: deque[Future[list[Pixels]]] = deque()
        with ThreadPoolExecutor(cores()) as pool:  # Pillow releases the interpreter lock while it decodes
            for start in range(0, len(self.paths), CHUNK):
                waiting.append(pool.submit(self._decode, self.paths[start : start + CHUNK]))
                if len(waiting) > AHEAD * cores():
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    def _decode(self, paths: Sequence[Path]) -> list[Pixels]:
        return [decode(path, self.size) for path in paths]


def cores() -> int:
    """Those this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode(path: Path, size: int) -> Pixels:
    """One image (3, size, size).

    Raises:
        InputError: if the file is missing or corrupt.
    """
    try:
        content = path.read_bytes()
        small = content.startswith(JPEG) and len(content) <= MOST_BYTES
        found = _jpeg(content) if small and _decoders_agree() else None
        if found is None:
            with Image.open(BytesIO(content)) as image:  # whose word on what is corrupt is the last
                return _fitted(image.convert("RGB"), size)
        return found if found.shape[1:] == (size, size) else _fitted(Image.fromarray(found.transpose(1, 2, 0)), size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be decoded ({error}); replace or remove it") from error


def _fitted(image: Image.Image, size: int) -> Pixels:
    fitted = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(fitted).transpose(2, 0, 1))


def _jpeg(content: bytes) -> Pixels | None:
    """A JPEG by torchvision, (3, H, W); None for what it cannot decode, and for other colours than RGB and grey.

    The operator itself: its wrapper is deprecated since torchvision 0.29. Where it is gone, Pillow decodes alone.
    """
    import torchvision.io  # noqa: F401, registers the operator

    unchanged, as_stored = 0, False  # colours, and orientation
    try:
        pixels = torch.ops.image.decode_jpeg(
            torch.frombuffer(bytearray(content), dtype=torch.uint8), unchanged, as_stored
        )
    except (RuntimeError, AttributeError):
        return None
    return pixels.expand(3, -1, -1).numpy() if len(pixels) in (1, 3) else None


@lru_cache(maxsize=1)
def _decoders_agree() -> bool:
    """Whether both decoders give the same pixels here, whatever JPEG library each was built with."""
    for channels, subsampling in ((3, 0), (3, 1), (3, 2), (1, -1)):
        noise = np.random.default_rng(0).integers(0, 256, (61, 63, channels), np.uint8)
        content = BytesIO()
        Image.fromarray(noise.squeeze()).save(content, "JPEG", subsampling=subsampling)
        with Image.open(content) as image:
            expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        found = _jpeg(content.getvalue())
        if found is None or not np.array_equal(found, expected):
            return False
    return True


def listed(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)


def raw(parts: dict[str, Labelled], size: int, classes: Iterable[str] = ()) -> Raw[Files]:
    """Parts of a source whose images lie in files.

    Args:
        parts: files and class names of each part.
        size: edge of the decoded images, pixels.
        classes: in the source's order; none: those that have files, sorted.
    """
    names = tuple(classes) or tuple(sorted({name for files in parts.values() for _, name in files}))
    position = {name: i for i, name in enumerate(names)}
    made = {}
    for part, files in parts.items():
        labels = np.array([position[name] for _, name in files], np.int64)
        made[part] = Part(Files([path for path, _ in files], size), labels)
    return Raw(names, made)


def fingerprint(root: Path, parts: dict[str, Labelled], size: int) -> str:
    """SHA-256 of every file's place below the root, class, size and time: a changed file is decoded again.

    Raises:
        InputError: naming a file that is missing.
    """
    sha = hashlib.sha256(str(size).encode())
    for part, files in parts.items():
        for path, name in files:
            sha.update(f"{part}/{name}{str(path).removeprefix(str(root))}:{_stamp(path)}\n".encode())
    return sha.hexdigest()


def _stamp(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); unpack the data set again") from error
    return f"{stat.st_size}:{stat.st_mtime_ns}"
