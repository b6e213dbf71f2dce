"""torchvision's sets whose images are JPEG files: pets, aircraft, cars, flowers, species, in torchvision's layout.

torchvision's own classes read the lists of files and labels and name the classes; the files are decoded as an image
folder's are. Aircraft are labelled by variant, the finest of their three levels; of iNaturalist it is the year 2019,
whose classes are the numbers of its categories.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmark.data import files, nearby
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
        size: of the download, which is about what it takes on disk.
        archives: that unpack to the folder in the root.
        chooser: torchvision's name of the argument that chooses a part.
        classes: of a torchvision data set its class names, in the order of the labels.
    """

    folder: str
    needed: tuple[str, ...]
    parts: Mapping[str, str]
    samples: Callable[[Any], list[tuple[str | Path, int]]]
    where: str = ""
    size: str = ""
    archives: tuple[str, ...] = ()
    chooser: str = "split"
    classes: Callable[[Any], Iterable[str]] = attrgetter("classes")


def _listed(dataset: Any) -> list[tuple[str | Path, int]]:
    return list(zip(dataset._image_files, dataset._labels, strict=True))


def _in_folders(dataset: Any) -> list[tuple[str | Path, int]]:
    """Image files by class and name; torchvision takes what a folder holds, in the order of the file system."""
    base = Path(dataset.root)
    found = ((base / dataset.all_categories[label] / name, label) for label, name in sorted(dataset.index))
    return [(path, label) for path, label in found if path.suffix.lower() in files.EXTENSIONS]


def _numbers(dataset: Any) -> list[str]:
    return [Path(folder).name for folder in dataset.all_categories]  # "Plants/400" -> "400"


# Sizes: https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/ for aircraft, else the catalogue of TensorFlow Datasets
# (oxford_iiit_pet 773.52 MiB, cars196 1.82 GiB, oxford_flowers102 328.90 MiB); of iNaturalist 2019 the page
# https://github.com/visipedia/inat_comp/tree/master/2019.
SETS: Mapping[str, FileSet] = MappingProxyType(
    {
        "OxfordIIITPet": FileSet(
            "oxford-iiit-pet",
            ("images", "annotations/trainval.txt", "annotations/test.txt"),
            {"train": "trainval", "test": "test"},
            lambda dataset: list(zip(dataset._images, dataset._labels, strict=True)),
            size="811 MB to download",
        ),
        "FGVCAircraft": FileSet(
            "fgvc-aircraft-2013b",
            ("data/images", "data/variants.txt", "data/images_variant_trainval.txt", "data/images_variant_test.txt"),
            {"train": "trainval", "test": "test"},
            _listed,
            size="2.75 GB to download",
            archives=("fgvc-aircraft-2013b.tar.gz",),
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
            size="1.96 GB to download",
        ),
        "Flowers102": FileSet(
            "flowers-102",
            ("jpg", "imagelabels.mat", "setid.mat"),
            {"train": "train", "val": "val", "test": "test"},
            _listed,
            size="345 MB to download",
        ),
        "INaturalist": FileSet(
            "2019",
            ("Amphibians", "Birds", "Fungi", "Insects", "Plants", "Reptiles"),
            {"train": "2019"},
            _in_folders,
            size="74 GB to download",
            chooser="version",
            classes=_numbers,
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
    """Whether the files and folders that torchvision reads are there."""
    found, folder = SETS[request.name], request.root / SETS[request.name].folder
    if missing := _missing(request):
        how = (found.where or download_command(request), f"so that {folder} holds {', '.join(found.needed)}")
        lie = nearby.find(request.root, folder, found.needed, found.archives)
        return Availability(False, f"no {missing} in {folder}", (*lie, *how), found.size)
    return Availability(True, note=f"in {folder}; no MD5 is published of its files")


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
        download(request, partial(dataset, **{found.chooser: next(iter(found.parts.values()))}))
    if missing := _missing(request):
        remedy = found.where or "let --download fetch it, or unpack it"
        raise InputError(
            f"{request.name}: no {missing} in {folder}; {remedy} so that {folder} holds {', '.join(found.needed)}, "
            "or name another root with --data-root or C2F_DATA_ROOT"
        )
    parts: dict[str, files.Labelled] = {}
    try:
        for part, split in found.parts.items():
            opened = dataset(request.root, **{found.chooser: split})
            classes = tuple(found.classes(opened))
            parts[part] = [(Path(path), classes[label]) for path, label in found.samples(opened)]
    except Exception as error:  # torchvision reads damaged lists without checks of its own
        raise InputError(f"{request.name}: cannot be read from {folder} ({error}); unpack it again") from error
    return parts, classes


def _missing(request: Request) -> str:
    """The first thing that is not there."""
    found = SETS[request.name]
    return next((name for name in found.needed if not (request.root / found.folder / name).exists()), "")
