"""Procedural images with two-level structure: `synthetic/M` draws M training and M test images per class.

Each class shows one oriented wave per level of the hierarchy, drawn from a hash of its path, plus noise: leaves of
one superclass share all waves but the last. For tests and dry runs; no claim is measured on it.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from benchmark.data.source import Availability, Images, Part, Raw, Request
from benchmark.errors import InputError

NOISE = 0.25


def fingerprint(request: Request) -> str:
    """Identity of everything the pixels are a function of."""
    return hashlib.sha256(f"{request.hierarchy.digest}:{_per_class(request)}:v1".encode()).hexdigest()


def read(request: Request) -> Raw[Images]:
    """Draw train and test."""
    hierarchy = request.hierarchy
    parts = {}
    for name in ("train", "test"):
        images = np.concatenate(
            [_draw(path, name, _per_class(request), hierarchy.image_size) for path in hierarchy.paths]
        )
        labels = np.repeat(np.arange(len(hierarchy.paths)), _per_class(request)).astype(np.int64)
        parts[name] = Part(images, labels)
    return Raw(hierarchy.leaves, parts)


def availability(request: Request) -> Availability:
    """Always: they are drawn on the spot."""
    return Availability(True, note=f"{_per_class(request)} images drawn per class and part")


def classes(request: Request) -> tuple[str, ...]:
    """Those of the hierarchy, whatever they are."""
    return request.hierarchy.leaves


def _per_class(request: Request) -> int:
    if not request.name.isdecimal() or not 2 <= int(request.name) <= 10_000:
        raise InputError(
            f"source {request.hierarchy.source!r}: expected synthetic/M with M images per class, 2 to 10000; "
            "write e.g. synthetic/20"
        )
    return int(request.name)


def _draw(path: tuple[str, ...], part: str, count: int, size: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(_seed(*path, part))
    y, x = np.mgrid[0:size, 0:size] / size
    clean = np.zeros((3, size, size))
    for depth in range(1, len(path) + 1):
        wave = np.random.default_rng(_seed(*path[:depth]))
        angle, cycles = wave.uniform(0, np.pi), wave.uniform(1, 3)
        colour = wave.normal(size=(3, 1, 1))
        clean += colour * np.sin(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)))
    noisy = clean / len(path) + rng.normal(scale=NOISE, size=(count, 3, size, size))
    return np.clip(128 + 64 * noisy, 0, 255).astype(np.uint8)


def _seed(*names: str) -> int:
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:8], "big")
