"""Decoded images on disk: one folder per source, memory-mapped uint8 arrays, checked before they are trusted.

Images are written as they are decoded, so a set may be larger than memory. All of the content is hashed as it is
written, and again whenever a pixel file's size or time is not what it was; labels and class names always are.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from benchmark.data.source import Images, Part, Pixels, Raw, Watcher
from benchmark.errors import InputError
from benchmark.schema import digest

FORMAT = 1
WRITTEN_AT_ONCE = 1 << 18  # bytes: small images one by one cost more in calls than in copying


class Unwatched:
    """A watcher that does nothing."""

    def begin(self, images: int) -> None:
        """Ignore."""

    def step(self, images: int) -> None:
        """Ignore."""


def folder() -> Path:
    """C2F_CACHE, or the user's cache folder."""
    return Path(os.environ.get("C2F_CACHE") or platformdirs.user_cache_dir("c2f-benchmark", appauthor=False))


def load(
    fingerprint: str, read: Callable[[], Raw[Images]], watcher: Watcher | None = None, root: Path | None = None
) -> tuple[Raw[Pixels], str]:
    """The decoded source, memory-mapped, and the SHA-256 of its content; decodes it where the cache has none.

    A damaged entry is thrown away and decoded again.

    Args:
        fingerprint: names the entry.
        read: gives the source where it has to be decoded.
        watcher: told of every image that is decoded.
        root: of the cache, where it is not `folder()`.

    Raises:
        InputError: if the cache cannot be written.
    """
    entry = (root or folder()) / "decoded" / fingerprint[:32]
    found = _open(entry)
    if found is None:
        _write(entry, read(), watcher or Unwatched())
        found = _open(entry)
    if found is None:
        raise InputError(f"cache {entry} was damaged as it was written; check the disk or set C2F_CACHE")
    return found


def find(fingerprint: str) -> tuple[Raw[Pixels], str] | None:
    """What `load` gives if the cache has it whole; nothing is decoded."""
    return _open(folder() / "decoded" / fingerprint[:32])


def _open(entry: Path) -> tuple[Raw[Pixels], str] | None:
    try:
        meta = json.loads((entry / "meta.json").read_text())
        if meta["format"] != FORMAT:
            return None
        parts = {}
        for name in meta["parts"]:
            # Copy-on-write: pages are shared with the file, and torch accepts the array as writable.
            images = np.load(_pixels(entry, name), mmap_mode="c", allow_pickle=False)
            labels = np.load(_labels(entry, name), allow_pickle=False)
            if images.dtype != np.uint8 or labels.dtype != np.int64:  # the digest is of bytes alone
                return None
            parts[name] = Part(images, labels)
        raw, content = Raw(tuple(meta["classes"]), parts), meta["content"]
        if meta.get("seal") != _seal(entry, raw, content):
            if _content(raw) != content:
                return None
            with contextlib.suppress(OSError):  # a cache that is read-only is hashed every time
                _write_meta(entry, raw, content)
        return raw, content
    except Exception:  # a damaged header makes NumPy raise anything from TokenError to MemoryError
        return None


def _pixels(entry: Path, part: str) -> Path:
    return entry / f"{part}-images.npy"


def _labels(entry: Path, part: str) -> Path:
    return entry / f"{part}-labels.npy"


def _content(raw: Raw[Pixels]) -> str:
    """SHA-256 over classes, shapes, pixels and labels."""
    sha = hashlib.sha256(json.dumps(raw.classes).encode())
    for name, part in raw.parts.items():
        sha.update(f"{name}{part.images.shape}".encode())
        sha.update(np.ascontiguousarray(part.images).data)
        sha.update(np.ascontiguousarray(part.labels).data)
    return sha.hexdigest()


def _seal(entry: Path, raw: Raw[Images], content: str) -> str:
    """What has to be as it was for the pixels to be trusted unread: everything else, and their files' size and time."""
    parts = []
    for name, part in raw.parts.items():
        stat, labels = _pixels(entry, name).stat(), hashlib.sha256(np.ascontiguousarray(part.labels).data)
        parts.append([name, part.images.shape, labels.hexdigest(), stat.st_size, stat.st_mtime_ns])
    return digest([content, raw.classes, parts], length=64)


def _write(entry: Path, raw: Raw[Images], watcher: Watcher) -> None:
    """Written beside and renamed, so a reader never sees half an entry."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=entry.parent))
    except OSError as error:
        raise _unwritable(entry, error) from error
    try:
        _write_meta(draft, raw, _write_parts(draft, raw, watcher))
        shutil.rmtree(entry, ignore_errors=True)
        draft.rename(entry)
    except OSError as error:
        if not (entry / "meta.json").is_file():  # else another process was faster, and its entry serves
            raise _unwritable(entry, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_parts(draft: Path, raw: Raw[Images], watcher: Watcher) -> str:
    """Write images one by one, and labels; the SHA-256 of it all, as `_content` has it."""
    watcher.begin(sum(part.images.shape[0] for part in raw.parts.values()))
    sha = hashlib.sha256(json.dumps(raw.classes).encode())
    for name, part in raw.parts.items():
        sha.update(f"{name}{part.images.shape}".encode())
        with _pixels(draft, name).open("wb", buffering=WRITTEN_AT_ONCE) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": part.images.shape}
            np.lib.format.write_array_header_1_0(file, header)
            for image in part.images:
                pixels = np.ascontiguousarray(image).data
                file.write(pixels)
                sha.update(pixels)
                watcher.step(1)
        np.save(_labels(draft, name), part.labels)
        sha.update(np.ascontiguousarray(part.labels).data)
    return sha.hexdigest()


def _write_meta(entry: Path, raw: Raw[Images], content: str) -> None:
    """Complete or not at all: a name of its own first."""
    meta: dict[str, Any] = {"format": FORMAT, "classes": raw.classes, "parts": list(raw.parts), "content": content}
    draft = entry / f".meta-{os.getpid()}.json"
    draft.write_text(json.dumps({**meta, "seal": _seal(entry, raw, content)}))
    draft.replace(entry / "meta.json")


def _unwritable(entry: Path, error: OSError) -> InputError:
    return InputError(f"cache folder {entry.parent} cannot be written ({error.strerror}); set C2F_CACHE")
