"""CIFAR-10/100, MNIST, Fashion-MNIST and KMNIST in torchvision's own folder layout, by torchvision's own classes.

Sets whose images lie in files of their own are in `torchvision_folders`.
"""

import hashlib
import json
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data import nearby, torchvision_folders
from benchmark.data.source import Availability, Images, Part, Pixels, Raw, Request, download_command
from benchmark.errors import InputError

# Published MD5s, as torchvision checks them: of CIFAR's files, of the packed files of the others. They are spelled out
# because importing torchvision takes seconds, which a decoded set need not wait for.
CIFAR = {
    "CIFAR10": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "CIFAR100": {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
}
IDX = {
    "MNIST": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    "KMNIST": {
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    },
}

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
    if request.name in torchvision_folders.SETS:
        return torchvision_folders.fingerprint(request)
    return hashlib.sha256(json.dumps([request.name, _published(request)], sort_keys=True).encode()).hexdigest()


def read(request: Request) -> Raw[Images]:
    """Train and test, downloaded first if asked; every file is checked before it is opened."""
    if request.name in torchvision_folders.SETS:
        return torchvision_folders.read(request)
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
    dataset = _dataset(request)
    try:
        train, test = dataset(request.root, train=True), dataset(request.root, train=False)
    except Exception as error:
        raise InputError(f"{request.name}: cannot be read from {folder} ({error}); fetch it again") from error
    classes = _mnist_names(train.classes) if request.name == "MNIST" else tuple(train.classes)
    return Raw(classes, {"train": _part(train), "test": _part(test)})


def availability(request: Request) -> Availability:
    """Whether torchvision's files are there and have the MD5s that are published."""
    if request.name in torchvision_folders.SETS:
        return torchvision_folders.availability(request)
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
    if request.name in torchvision_folders.SETS:
        return torchvision_folders.classes(request)
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

    return getattr(datasets, request.name)


def _published(request: Request) -> dict[str, str]:
    """Files as published, and their MD5."""
    arrays = CIFAR | IDX
    if request.name not in arrays:
        known = ", ".join(f"torchvision/{name}" for name in (*arrays, *torchvision_folders.SETS))
        raise InputError(f"unknown source {request.hierarchy.source!r}; use one of: {known}")
    return arrays[request.name]


def _folder(request: Request) -> Path:
    folders = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}
    return request.root / folders.get(request.name, f"{request.name}/raw")


def _files(request: Request) -> dict[str, str]:
    """Names of the unpacked files and their MD5, empty where unknown."""
    published = _published(request)
    if request.name in CIFAR:
        return published
    names = [archive.removesuffix(".gz") for archive in published]
    return {name: IDX_MD5.get(request.name, {}).get(name, "") for name in names}


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


def _part(dataset: Any) -> Part[Pixels]:
    images = np.asarray(dataset.data)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)  # (N, C, H, W)
    return Part(images, np.asarray(dataset.targets, dtype=np.int64))
