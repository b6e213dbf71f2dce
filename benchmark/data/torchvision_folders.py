"""torchvision's sets whose images are JPEG files: pets, aircraft, cars, flowers, in the layout torchvision reads.

torchvision's own classes read the lists of files and labels and name the classes; the files are decoded as an image
folder's are. Aircraft are labelled by variant, the finest of their three levels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmark.data import files
from benchmark.data.source import Availability, Images, Raw, Request, download_command
from benchmark.errors import InputError


@dataclass(frozen=True)
class FileSet:
    """Where a set lies, and how torchvision calls its parts.

    Attributes:
        folder: below the root.
        needed: files and folders below that.
        parts: our name of a part -> torchvision's.
        samples: of a torchvision data set its (file, label) pairs.
        where: where to get it by hand; empty for a set that torchvision downloads.
    """

    folder: str
    needed: tuple[str, ...]
    parts: Mapping[str, str]
    samples: Callable[[Any], list[tuple[str | Path, int]]]
    where: str = ""


def _listed(dataset: Any) -> list[tuple[str | Path, int]]:
    return list(zip(dataset._image_files, dataset._labels, strict=True))


SETS: Mapping[str, FileSet] = MappingProxyType(
    {
        "OxfordIIITPet": FileSet(
            "oxford-iiit-pet",
            ("images", "annotations/trainval.txt", "annotations/test.txt"),
            {"train": "trainval", "test": "test"},
            lambda dataset: list(zip(dataset._images, dataset._labels, strict=True)),
        ),
        "FGVCAircraft": FileSet(
            "fgvc-aircraft-2013b",
            ("data/images", "data/variants.txt", "data/images_variant_trainval.txt", "data/images_variant_test.txt"),
            {"train": "trainval", "test": "test"},
            _listed,
        ),
        "StanfordCars": FileSet(
            "stanford_cars",
            (
                "cars_train",
                "cars_test",
                "devkit/cars_meta.mat",
                "devkit/cars_train_annos.mat",
                "cars_test_annos_withlabels.mat",
            ),
            {"train": "train", "test": "test"},
            lambda dataset: list(dataset._samples),
            "no working download is left: get cars_train.tgz, cars_test.tgz, car_devkit.tgz and "
            "cars_test_annos_withlabels.mat from a mirror of the publisher's page",
        ),
        "Flowers102": FileSet(
            "flowers-102",
            ("jpg", "imagelabels.mat", "setid.mat"),
            {"train": "train", "val": "val", "test": "test"},
            _listed,
        ),
    }
)


def fingerprint(request: Request) -> str:
    """SHA-256 of every file's place, class, size and time, downloaded first if asked."""
    parts, _ = _parts(request)
    return files.fingerprint(request.root, parts, request.hierarchy.image_size)


def read(request: Request) -> Raw[Images]:
    """All published parts, still in their files."""
    parts, classes = _parts(request)
    return files.raw(parts, request.hierarchy.image_size, classes)


def availability(request: Request) -> Availability:
    """Whether all that torchvision reads is there; nothing is published to verify the unpacked files by."""
    found, missing = SETS[request.name], _missing(request)
    if not missing:
        return Availability(True, note=f"in {request.root / found.folder}")
    how = (found.where,) if found.where else (download_command(request),)
    return Availability(False, f"no {missing} in {request.root / found.folder}", (*how, f"so that {_layout(request)}"))


def classes(request: Request) -> tuple[str, ...]:
    """Names in torchvision's order."""
    return _parts(request)[1]


def download(request: Request, dataset: Callable[..., object]) -> None:
    """Let torchvision fetch a set into the root.

    Raises:
        InputError: if it cannot.
    """
    try:
        request.root.mkdir(parents=True, exist_ok=True)
        dataset(request.root, download=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{request.name}: download to {request.root} failed ({error}); check the network and the folder, "
            "or put the files there by hand"
        ) from error


def _parts(request: Request) -> tuple[dict[str, files.Labelled], tuple[str, ...]]:
    """Files with their class names for each part, and the class names in torchvision's order."""
    from torchvision import datasets

    found, folder = SETS[request.name], request.root / SETS[request.name].folder
    dataset = getattr(datasets, request.name)
    if _missing(request) and request.download and not found.where:
        download(request, dataset)
    if missing := _missing(request):
        remedy = found.where or "let --download fetch it, or unpack it"
        raise InputError(
            f"{request.name}: no {missing} in {folder}; {remedy} so that {_layout(request)}, "
            "or name another root with --data-root or C2F_DATA_ROOT"
        )
    parts: dict[str, files.Labelled] = {}
    try:
        for part, split in found.parts.items():
            opened = dataset(request.root, split=split)
            classes = tuple(opened.classes)
            parts[part] = [(Path(path), classes[label]) for path, label in found.samples(opened)]
    except Exception as error:  # torchvision reads damaged lists without checks of its own
        raise InputError(f"{request.name}: cannot be read from {folder} ({error}); unpack it again") from error
    return parts, classes


def _layout(request: Request) -> str:
    found = SETS[request.name]
    return f"{request.root / found.folder} holds {', '.join(found.needed)}"


def _missing(request: Request) -> str:
    """The first thing that is not there."""
    found = SETS[request.name]
    return next((name for name in found.needed if not (request.root / found.folder / name).exists()), "")
