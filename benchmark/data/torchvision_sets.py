"""CIFAR-10/100, MNIST, Fashion-MNIST and KMNIST in torchvision's own folder layout, by torchvision's own classes.

Sets whose images lie in files of their own are in `torchvision_folders`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data import torchvision_folders
from benchmark.data.source import Images, Part, Pixels, Raw, Request
from benchmark.errors import InputError

CIFAR = ("CIFAR10", "CIFAR100")
IDX = ("MNIST", "FashionMNIST", "KMNIST")

# MD5 of the unpacked files, derived from archives whose own MD5 equal the published ones; torchvision checks the
# archives only. MNIST's and KMNIST's are not at hand: their files are checked for their structure.
IDX_MD5 = {
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    }
}


def fingerprint(request: Request) -> str:
    """SHA-256 of the published MD5s: it needs no file, so a decoded cache stands without the originals."""
    if request.name in torchvision_folders.SETS:
        return torchvision_folders.fingerprint(request)
    files = _cifar_files(request) if request.name in CIFAR else dict(_dataset(request).resources)
    return hashlib.sha256(json.dumps([request.name, files], sort_keys=True).encode()).hexdigest()


def read(request: Request) -> Raw[Images]:
    """Train and test, downloaded first if asked; every file is checked before it is opened."""
    if request.name in torchvision_folders.SETS:
        return torchvision_folders.read(request)
    dataset = _dataset(request)
    folder = _folder(request)
    missing = [name for name in _files(request) if not (folder / name).is_file()]
    if missing and request.download:
        torchvision_folders.download(request, _dataset(request))
    elif missing:
        raise InputError(
            f"{request.name}: no {missing[0]} in {folder}; put torchvision's files there, name another folder "
            "with --data-root or C2F_DATA_ROOT, or let --download fetch them"
        )
    for name, md5 in _files(request).items():
        if not (folder / name).is_file():
            raise InputError(f"{request.name}: the download left no {name} in {folder}; put the files there by hand")
        if md5 and _md5(folder / name) != md5:
            raise InputError(f"{folder / name}: corrupt, MD5 is not {md5}; delete it and fetch it again")
    try:
        train, test = dataset(request.root, train=True), dataset(request.root, train=False)
    except Exception as error:
        raise InputError(f"{request.name}: cannot be read from {folder} ({error}); fetch it again") from error
    classes = _mnist_names(train.classes) if request.name == "MNIST" else tuple(train.classes)
    return Raw(classes, {"train": _part(train), "test": _part(test)})


def _dataset(request: Request) -> Any:
    from torchvision import datasets

    if request.name not in CIFAR + IDX:
        known = ", ".join(f"torchvision/{name}" for name in (*CIFAR, *IDX, *torchvision_folders.SETS))
        raise InputError(f"unknown source {request.hierarchy.source!r}; use one of: {known}")
    return getattr(datasets, request.name)


def _folder(request: Request) -> Path:
    if request.name in CIFAR:
        return request.root / str(_dataset(request).base_folder)
    return request.root / request.name / "raw"


def _cifar_files(request: Request) -> dict[str, str]:
    dataset = _dataset(request)
    return {
        **dict(dataset.train_list),
        **dict(dataset.test_list),
        dataset.meta["filename"]: dataset.meta["md5"],
    }


def _files(request: Request) -> dict[str, str]:
    """File names and their MD5, empty where unknown."""
    if request.name in CIFAR:
        return _cifar_files(request)
    names = [archive.removesuffix(".gz") for archive, _ in _dataset(request).resources]
    return {name: IDX_MD5.get(request.name, {}).get(name, "") for name in names}


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _mnist_names(classes: list[str]) -> tuple[str, ...]:
    return tuple(name.split(" ")[0] for name in classes)  # "0 - zero" -> "0"


def _part(dataset: Any) -> Part[Pixels]:
    images = np.asarray(dataset.data)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)  # (N, C, H, W)
    return Part(images, np.asarray(dataset.targets, dtype=np.int64))
