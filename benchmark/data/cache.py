"""Decoded images on disk: one folder per source, memory-mapped uint8 arrays, checked before they are trusted."""

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

from benchmark.data.source import Part, Raw
from benchmark.errors import InputError

FORMAT = 1


def folder() -> Path:
    """C2F_CACHE, or the user's cache folder."""
    return Path(os.environ.get("C2F_CACHE") or platformdirs.user_cache_dir("c2f-benchmark", appauthor=False))


def load(fingerprint: str, read: Callable[[], Raw]) -> tuple[Raw, str]:
    """The decoded source, memory-mapped, and the SHA-256 of its content; decodes it where the cache has none.

    A damaged entry is thrown away and decoded again.

    Raises:
        InputError: if the cache cannot be written.
    """
    entry = folder() / "decoded" / fingerprint[:32]
    found = _open(entry)
    if found is None:
        _write(entry, read())
        found = _open(entry)
    if found is None:
        raise InputError(f"cache {entry} was damaged as it was written; check the disk or set C2F_CACHE")
    return found


def find(fingerprint: str) -> tuple[Raw, str] | None:
    """What `load` gives if the cache has it whole; nothing is decoded."""
    return _open(folder() / "decoded" / fingerprint[:32])


def _open(entry: Path) -> tuple[Raw, str] | None:
    try:
        meta = json.loads((entry / "meta.json").read_text())
        if meta["format"] != FORMAT:
            return None
        parts = {}
        for name in meta["parts"]:
            # Copy-on-write: pages are shared with the file, and torch accepts the array as writable.
            images = np.load(entry / f"{name}-images.npy", mmap_mode="c", allow_pickle=False)
            labels = np.load(entry / f"{name}-labels.npy", allow_pickle=False)
            if images.dtype != np.uint8 or labels.dtype != np.int64:  # the digest is of bytes alone
                return None
            parts[name] = Part(images, labels)
        raw = Raw(tuple(meta["classes"]), parts)
        return (raw, meta["content"]) if _content(raw) == meta["content"] else None
    except Exception:  # a damaged header makes NumPy raise anything from TokenError to MemoryError
        return None


def _content(raw: Raw) -> str:
    """SHA-256 over classes, shapes, pixels and labels."""
    sha = hashlib.sha256(json.dumps(raw.classes).encode())
    for name, part in raw.parts.items():
        sha.update(f"{name}{part.images.shape}".encode())
        sha.update(np.ascontiguousarray(part.images).data)
        sha.update(np.ascontiguousarray(part.labels).data)
    return sha.hexdigest()


def _write(entry: Path, raw: Raw) -> None:
    """Written beside and renamed, so a reader never sees half an entry."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=entry.parent))
    except OSError as error:
        raise _unwritable(entry, error) from error
    try:
        for name, part in raw.parts.items():
            np.save(draft / f"{name}-images.npy", np.ascontiguousarray(part.images))
            np.save(draft / f"{name}-labels.npy", part.labels)
        meta: dict[str, Any] = {"format": FORMAT, "classes": raw.classes, "parts": list(raw.parts)}
        (draft / "meta.json").write_text(json.dumps({**meta, "content": _content(raw)}))
        shutil.rmtree(entry, ignore_errors=True)
        draft.rename(entry)
    except OSError as error:
        if not (entry / "meta.json").is_file():  # else another process was faster, and its entry serves
            raise _unwritable(entry, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unwritable(entry: Path, error: OSError) -> InputError:
    return InputError(f"cache folder {entry.parent} cannot be written ({error.strerror}); set C2F_CACHE")
