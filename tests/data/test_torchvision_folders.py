"""torchvision's JPEG sets, in miniature and in the published layouts, against torchvision's own reading of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from benchmark.data import torchvision_folders, torchvision_sets
from benchmark.data.source import Request
from benchmark.errors import InputError

Paint = Callable[[Path], None]
SPLITS = {
    "OxfordIIITPet": {"train": "trainval", "test": "test"},
    "FGVCAircraft": {"train": "trainval", "test": "test"},
    "StanfordCars": {"train": "train", "test": "test"},
    "Flowers102": {"train": "train", "val": "val", "test": "test"},
    "INaturalist": {"train": "2019"},
}
SPECIES = {
    "Amphibians": [3],
    "Birds": [5],
    "Fungi": [0],
    "Insects": [1, 2],
    "Plants": [6, 7, 8, 9, 10],
    "Reptiles": [4],
}


@pytest.fixture
def paint(rng: torch.Generator) -> Paint:
    """Writes noise of 8 x 8 pixels."""

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (8, 8, 3), generator=rng).to(torch.uint8)
        Image.fromarray(noise.numpy()).save(path, format="JPEG")

    return write


def make_pets(root: Path, paint: Paint) -> None:
    base = root / "oxford-iiit-pet"
    breeds = [("Abyssinian", 1, 1), ("american_bulldog", 2, 2), ("Bengal", 3, 1)]
    for part, first in (("trainval", 1), ("test", 4)):
        lines = [f"{breed}_{first + i} {label} {kind} 1\n" for breed, label, kind in breeds for i in range(2)]
        (base / "annotations").mkdir(parents=True, exist_ok=True)
        (base / "annotations" / f"{part}.txt").write_text("".join(lines))
        for line in lines:
            paint(base / "images" / f"{line.split()[0]}.jpg")


def make_aircraft(root: Path, paint: Paint) -> None:
    data = root / "fgvc-aircraft-2013b" / "data"
    variants = ["707-320", "Boeing 717", "F/A-18"]
    for part, first in (("trainval", 10), ("test", 20)):
        numbers = [f"{first + i:07d}" for i in range(3)]
        for number in numbers:
            paint(data / "images" / f"{number}.jpg")
        lines = [f"{number} {name}\n" for number, name in zip(numbers, reversed(variants), strict=True)]
        (data / f"images_variant_{part}.txt").write_text("".join(lines))
    (data / "variants.txt").write_text("\n".join(variants) + "\n")


def make_cars(root: Path, paint: Paint) -> None:
    base = root / "stanford_cars"
    (base / "devkit").mkdir(parents=True)
    names = np.array(["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"], dtype=object)
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": names})
    kind = np.dtype([("class", "O"), ("fname", "O")])
    for part, table in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = [(2, "00001.jpg"), (1, "00002.jpg"), (2, "00003.jpg")]
        savemat(base / table, {"annotations": np.array(rows, dtype=kind)})
        for _, name in rows:
            paint(base / f"cars_{part}" / name)


def make_flowers(root: Path, paint: Paint) -> None:
    base = root / "flowers-102"
    for i in range(1, 10):
        paint(base / "jpg" / f"image_{i:05d}.jpg")
    savemat(base / "imagelabels.mat", {"labels": np.array([77, 1, 102, 77, 1, 102, 77, 1, 102])})
    savemat(base / "setid.mat", {"trnid": [[1, 5, 9]], "valid": [[2, 3, 4]], "tstid": [[8, 7, 6]]})


def make_species(root: Path, paint: Paint) -> None:
    for group, numbers in SPECIES.items():
        for number in numbers:
            for name in ("b.jpg", "a.jpg"):
                paint(root / "2019" / group / str(number) / name)


MAKE = {
    "OxfordIIITPet": make_pets,
    "FGVCAircraft": make_aircraft,
    "StanfordCars": make_cars,
    "Flowers102": make_flowers,
    "INaturalist": make_species,
}


def by_torchvision(name: str, root: Path, split: str) -> tuple[Any, list[str]]:
    """torchvision's own data set and its class names."""
    if name != "INaturalist":
        opened = getattr(datasets, name)(root, split=split)
        return opened, list(opened.classes)
    opened = datasets.INaturalist(root, version=split)
    opened.index.sort()  # it lists a folder in the order of the file system
    return opened, [opened.category_name("full", i).rpartition("/")[2] for i in range(len(opened.all_categories))]


@pytest.fixture
def _any_flowers(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision checks the MD5 of the two tables of flowers, which no miniature can have."""
    monkeypatch.setattr(datasets.Flowers102, "_check_integrity", lambda self: True)


@pytest.mark.usefixtures("_any_flowers")
@pytest.mark.parametrize("name", list(MAKE))
def test_images_and_names_equal_those_that_torchvision_returns(
    tmp_path: Path, make_request: Callable[..., Request], paint: Paint, name: str
):
    MAKE[name](tmp_path, paint)
    raw = torchvision_sets.read(make_request(f"torchvision/{name}", tmp_path))
    assert list(raw.parts) == list(SPLITS[name])
    for part, split in SPLITS[name].items():
        theirs, names = by_torchvision(name, tmp_path, split)
        ours = raw.parts[part]
        assert ours.images.shape == (len(theirs), 3, 8, 8)
        for image, label, (picture, target) in zip(ours.images, ours.labels, theirs, strict=True):
            np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(picture))
            assert raw.classes[label] == names[target]


@pytest.mark.usefixtures("_any_flowers")
@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("OxfordIIITPet", ["Abyssinian", "American Bulldog", "Bengal"]),
        ("FGVCAircraft", ["707-320", "Boeing 717", "F/A-18"]),
        ("StanfordCars", ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"]),
        ("Flowers102", ["pink primrose", "passion flower", "blackberry lily"]),
        ("INaturalist", [str(number) for number in range(11)]),
    ],
)
def test_labels_name_the_classes_of_the_lists(
    tmp_path: Path, make_request: Callable[..., Request], paint: Paint, name: str, some: list[str]
):
    MAKE[name](tmp_path, paint)
    raw = torchvision_sets.read(make_request(f"torchvision/{name}", tmp_path))
    used = {raw.classes[label] for part in raw.parts.values() for label in part.labels}
    assert used == set(some)


@pytest.mark.usefixtures("_any_flowers")
@pytest.mark.parametrize("name", list(MAKE))
def test_fingerprint_follows_the_files(tmp_path: Path, make_request: Callable[..., Request], paint: Paint, name: str):
    MAKE[name](tmp_path, paint)
    request = make_request(f"torchvision/{name}", tmp_path)
    before = torchvision_sets.fingerprint(request)
    assert torchvision_sets.fingerprint(request) == before
    image = next(path for path in sorted(tmp_path.rglob("*.jpg")))
    image.write_bytes(image.read_bytes() + b"\0")
    after = torchvision_sets.fingerprint(request)
    assert after != before
    image.unlink()
    if name == "INaturalist":  # its classes are what their folders hold
        assert torchvision_sets.fingerprint(request) not in (before, after)
        return
    with pytest.raises(InputError, match=rf"{image.name}: cannot be read \(No such file .*\); unpack"):
        torchvision_sets.fingerprint(request)


@pytest.mark.parametrize(
    ("name", "folder", "remedy"),
    [
        ("OxfordIIITPet", "oxford-iiit-pet", "no images in .*; let --download fetch it"),
        ("FGVCAircraft", "fgvc-aircraft-2013b", "no data/images in .*; let --download fetch it"),
        (
            "StanfordCars",
            "stanford_cars",
            r"no working download is left: get .* devkit/cars_meta\.mat",
        ),
        ("Flowers102", "flowers-102", "no jpg in .*; let --download fetch it"),
        ("INaturalist", "2019", "no Amphibians in .*; let --download fetch it"),
    ],
)
def test_missing_set_says_where_and_how(
    tmp_path: Path, make_request: Callable[..., Request], name: str, folder: str, remedy: str
):
    for download in (False, name == "StanfordCars"):  # the cars cannot be downloaded, and it is not tried
        request = make_request(f"torchvision/{name}", tmp_path, download=download)
        with pytest.raises(InputError, match=remedy) as caught:
            torchvision_sets.fingerprint(request)
        assert str(tmp_path / folder) in str(caught.value)


@pytest.mark.usefixtures("_any_flowers")
@pytest.mark.parametrize("name", list(MAKE))
def test_what_is_at_hand_is_told_without_decoding(
    tmp_path: Path, make_request: Callable[..., Request], paint: Paint, name: str
):
    request = make_request(f"torchvision/{name}", tmp_path)
    found = torchvision_sets.availability(request)
    assert not found.ready
    assert ("c2f run" in " ".join(found.how)) == (name != "StanfordCars")
    MAKE[name](tmp_path, paint)
    for image in tmp_path.rglob("*.jpg"):
        image.write_bytes(b"")
    assert torchvision_sets.availability(request).ready
    _, names = by_torchvision(name, tmp_path, SPLITS[name]["train"])
    assert list(torchvision_sets.classes(request)) == names


def test_missing_set_is_downloaded_if_asked(
    tmp_path: Path, make_request: Callable[..., Request], paint: Paint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(datasets.OxfordIIITPet, "_download", lambda self: make_pets(tmp_path, paint))
    raw = torchvision_sets.read(make_request("torchvision/OxfordIIITPet", tmp_path, download=True))
    assert raw.parts["train"].images.shape[0] == 6


def test_species_of_2019_are_downloaded_and_of_no_other_year(
    tmp_path: Path, make_request: Callable[..., Request], paint: Paint, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def download(self: datasets.INaturalist) -> None:
        asked.append(self.version)
        make_species(tmp_path, paint)

    monkeypatch.setattr(datasets.INaturalist, "download", download)
    raw = torchvision_sets.read(make_request("torchvision/INaturalist", tmp_path, download=True))
    assert asked == ["2019"]
    assert raw.parts["train"].images.shape[0] == 22


def test_a_stray_file_is_no_species(tmp_path: Path, make_request: Callable[..., Request], paint: Paint):
    make_species(tmp_path, paint)
    (tmp_path / "2019" / "Plants" / "10" / ".DS_Store").write_bytes(b"")
    raw = torchvision_sets.read(make_request("torchvision/INaturalist", tmp_path))
    places = [path.relative_to(tmp_path / "2019").as_posix() for path in raw.parts["train"].images.paths]
    assert places[:4] == ["Fungi/0/a.jpg", "Fungi/0/b.jpg", "Insects/1/a.jpg", "Insects/1/b.jpg"]
    assert places[-2:] == ["Plants/10/a.jpg", "Plants/10/b.jpg"]


def test_species_that_are_missing_in_between_are_an_input_error(
    tmp_path: Path, make_request: Callable[..., Request], paint: Paint
):
    make_species(tmp_path, paint)
    shutil.rmtree(tmp_path / "2019" / "Plants" / "7")
    with pytest.raises(InputError, match=r"INaturalist: cannot be read from .*2019 \(Missing category 7\); unpack it"):
        torchvision_sets.fingerprint(make_request("torchvision/INaturalist", tmp_path))


def test_failed_download_is_an_input_error(
    tmp_path: Path, make_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
):
    def fail(self: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(datasets.Flowers102, "download", fail)
    with pytest.raises(InputError, match=r"Flowers102: download to .* failed \(no route to host\); check the network"):
        torchvision_sets.read(make_request("torchvision/Flowers102", tmp_path, download=True))


@pytest.mark.parametrize("content", ["Abyssinian_1 1 1\n", "Abyssinian_1 one 1 1\n", "\xff\n"])
def test_damaged_list_is_an_input_error(
    tmp_path: Path, make_request: Callable[..., Request], paint: Paint, content: str
):
    make_pets(tmp_path, paint)
    (tmp_path / "oxford-iiit-pet" / "annotations" / "trainval.txt").write_text(content, encoding="latin1")
    with pytest.raises(InputError, match=r"OxfordIIITPet: cannot be read from .*oxford-iiit-pet .*; unpack it again"):
        torchvision_folders.fingerprint(make_request("torchvision/OxfordIIITPet", tmp_path))
