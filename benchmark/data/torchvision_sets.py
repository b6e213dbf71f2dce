"""CIFAR-10/100, MNIST and Fashion-MNIST in torchvision's own folder layout, by torchvision's own classes."""

import hashlib
import json
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data import nearby
from benchmark.data.source import Availability, Part, Raw, Request, download_command
from benchmark.errors import InputError

CIFAR = ("CIFAR10", "CIFAR100")
IDX = ("MNIST", "FashionMNIST")

# MD5 of the unpacked files, derived from archives whose own MD5 equal the published ones; torchvision checks the
# archives only. MNIST's are not at hand: its files are checked for their structure.
IDX_MD5 = {
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    }
}

# To download and unpacked: https://www.cs.toronto.edu/~kriz/cifar.html (in MiB there), the sizes in bytes of the four
# files at http://yann.lecun.com/exdb/mnist/, the table of https://github.com/zalandoresearch/fashion-mnist; unpacked
# sizes follow from the formats.
SIZES = {
    "CIFAR10": "170 MB to download, 186 MB unpacked",
    "CIFAR100": "169 MB to download, 186 MB unpacked",
    "MNIST": "12 MB to download, 55 MB unpacked",
    "FashionMNIST": "31 MB to download, 55 MB unpacked",
}


def fingerprint(request: Request) -> str:
    """SHA-256 of the published MD5s: it needs no file, so a decoded cache stands without the originals."""
    files = _cifar_files(request) if request.name in CIFAR else dict(_dataset(request).resources)
    return hashlib.sha256(json.dumps([request.name, files], sort_keys=True).encode()).hexdigest()


def read(request: Request) -> Raw:
    """Decode train and test, downloading first if asked; every file is checked before it is opened."""
    dataset = _dataset(request)
    folder = _folder(request)
    missing = [name for name in _files(request) if not (folder / name).is_file()]
    if missing and request.download:
        _download(request)
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


def availability(request: Request) -> Availability:
    """Whether torchvision's files are there and have the MD5s that are published."""
    folder, files = _folder(request), _files(request)
    size = SIZES.get(request.name, "")
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        how = (*_elsewhere(request), download_command(request), *_by_hand(request))
        return Availability(False, f"no {missing[0]} in {folder}", how, size)
    damaged = [name for name, md5 in files.items() if md5 and _md5_as_of(folder / name) != md5]
    if damaged:
        how = (f"rm {nearby.quote(folder / damaged[0])}", download_command(request))
        return Availability(False, f"{folder / damaged[0]} is damaged: its MD5 is not {files[damaged[0]]}", how, size)
    verified = all(files.values())
    return Availability(True, note="MD5 of every file is right" if verified else "no MD5 is published of the files")


def classes(request: Request) -> tuple[str, ...]:
    """Names as the data set spells them; CIFAR's are in a pickle, which is opened if its MD5 is right."""
    dataset = _dataset(request)
    if request.name == "MNIST":
        return _mnist_names(dataset.classes)
    if request.name not in CIFAR:
        return tuple(dataset.classes)
    meta = _folder(request) / dataset.meta["filename"]
    if not meta.is_file() or _md5(meta) != dataset.meta["md5"]:
        raise InputError(f"{meta}: missing or damaged, MD5 is not {dataset.meta['md5']}; fetch it again")
    return tuple(pickle.loads(meta.read_bytes())[dataset.meta["key"]])


def _elsewhere(request: Request) -> tuple[str, ...]:
    """What to do about the files or their archive, if they lie around in another folder."""
    wanted, files = _folder(request), _files(request)
    archives = [_dataset(request).filename] if request.name in CIFAR else [name + ".gz" for name in files]
    for folder in nearby.folders(request.root):
        named = request.name in CIFAR or request.name in folder.parts
        if all((folder / name).is_file() for name in files):
            if all(_md5_as_of(folder / name) == md5 if md5 else named for name, md5 in files.items()):
                return (nearby.remedy(request.root, wanted, folder, files),)
        elif named and all((folder / name).is_file() for name in archives):
            if request.name in CIFAR:
                return (f"tar -xzf {nearby.quote(folder / archives[0])} -C {nearby.quote(request.root)}",)
            return (f"gunzip --keep {' '.join(nearby.quote(folder / name) for name in archives)}",)
    return ()


def _by_hand(request: Request) -> tuple[str, ...]:
    dataset = _dataset(request)
    if request.name in CIFAR:
        return (f"or by hand: unpack {dataset.url} in {request.root}",)
    return (f"or by hand: unpack the four files of {dataset.mirrors[0]} in {_folder(request)}",)


def _dataset(request: Request) -> Any:
    from torchvision import datasets

    if request.name not in CIFAR + IDX:
        known = ", ".join(f"torchvision/{name}" for name in CIFAR + IDX)
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


def _download(request: Request) -> None:
    try:
        request.root.mkdir(parents=True, exist_ok=True)
        _dataset(request)(request.root, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{request.name}: download to {request.root} failed ({error}); check the network and the folder, "
            "or put the files there by hand"
        ) from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5_as_of(path: Path) -> str:
    """As `_md5`, but a file that looks unchanged is not read again; good for reports, not before a pickle is opened."""
    stat = path.stat()
    return _remembered_md5(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _remembered_md5(path: Path, size: int, changed: int) -> str:
    return _md5(path)


def _mnist_names(classes: list[str]) -> tuple[str, ...]:
    return tuple(name.split(" ")[0] for name in classes)  # "0 - zero" -> "0"


def _part(dataset: Any) -> Part:
    images = np.asarray(dataset.data)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)  # (N, C, H, W)
    return Part(images, np.asarray(dataset.targets, dtype=np.int64))
