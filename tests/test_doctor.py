"""c2f doctor: what can run here, what is missing and how to get it; the remedies it prints do what they say."""

import dataclasses
import gzip
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
from PIL import Image
from test_hierarchy import CLASSES, HEADER

from benchmark import data, doctor, hierarchy, registry
from benchmark.data import at_hand, loading
from benchmark.data.source import Availability, Informed, Request
from benchmark.errors import InputError
from benchmark.schema import Hierarchy

MNIST = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
CIFAR = "cifar-100-python"


@pytest.fixture
def tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose neighbours are not those of other tests, and a cache without what they decoded: doctor looks."""
    folder = tmp_path / "alone" / "here"
    folder.mkdir(parents=True)
    monkeypatch.setenv("C2F_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def pets(tmp_path: Path) -> Hierarchy:
    (tmp_path / "pets.yaml").write_text(HEADER + CLASSES)
    return hierarchy.load(tmp_path / "pets.yaml")


@pytest.fixture
def mnist(tmp_path: Path) -> Hierarchy:
    words = HEADER.replace("imagefolder/pets", "torchvision/MNIST")
    (tmp_path / "pets.yaml").write_text(words + "classes: {low: ['0', '1'], high: ['2', '3']}\nignore: others\n")
    return hierarchy.load(tmp_path / "pets.yaml")


def images(folder: Path, *classes: str) -> None:
    for name in classes:
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / name / "0.png")


def followed(tree: Hierarchy, root: Path) -> Availability:
    """What is at hand after the first remedy has been followed to the letter: another root, or a shell command."""
    found = at_hand.availability(tree, root)
    assert not found.ready
    remedy = found.how[0]
    if match := re.fullmatch(r"found in \S+: give --data-root (\S+)", remedy):
        return at_hand.availability(tree, Path(match[1]))
    command = remedy.split(": ", 1)[1] if remedy.startswith("found in ") else remedy
    assert command.split()[0] in ("mkdir", "mv", "tar", "gunzip", "python"), remedy
    python = Path(sys.executable).parent
    subprocess.run(command, shell=True, check=True, env={**os.environ, "PATH": f"{python}:{os.environ['PATH']}"})
    return at_hand.availability(tree, root)


@pytest.mark.parametrize(
    ("layout", "root"),
    [
        ("store/pets/train", "store/pets"),  # the folder itself was given as the root
        ("store/pets/train", "."),  # one too high
        ("store/pets/train", "store/other"),  # beside it
        ("store/pets/train", "data"),  # somewhere else
        ("store/ILSVRC/Data/CLS-LOC/train", "store"),  # as ImageNet's archive unpacks
        ("store/train", "store"),  # no folder of the set's name
        ("store/photos", "store"),  # class folders without a part above them
        ("store/two words/train", "store"),
    ],
)
def test_image_folders_one_off_are_found_and_the_remedy_works(tmp_path: Path, pets: Hierarchy, layout: str, root: str):
    images(tmp_path / layout, "siam", "manx", "pug", "collie")
    assert followed(pets, tmp_path / root).ready
    assert sorted(path.name for path in (tmp_path / layout).iterdir()) == ["collie", "manx", "pug", "siam"]


def test_folders_without_images_and_folders_of_others_are_no_find(tmp_path: Path, pets: Hierarchy):
    for name in ("siam", "manx", "pug", "collie"):
        (tmp_path / "a" / "train" / name / "images").mkdir(parents=True)
    images(tmp_path / "b" / "train", "siam", "lion", "tiger")
    found = at_hand.availability(pets, tmp_path)
    assert found == Availability(
        False,
        f"no class folders in {tmp_path}/pets/train",
        (f"put the images there as {tmp_path}/pets/train/CLASS/IMAGE",),
    )


def test_images_that_lie_flat_in_a_part_are_named(tmp_path: Path, pets: Hierarchy):
    images(tmp_path / "pets" / "train", "siam", "manx", "pug", "collie")
    (tmp_path / "pets" / "val").mkdir()
    (tmp_path / "pets" / "val" / "0.png").touch()
    found = at_hand.availability(pets, tmp_path)
    assert (found.ready, found.missing) == (False, f"no class folders in {tmp_path}/pets/val")


def test_imagenet_says_its_size_and_where_to_register(tmp_path: Path, pets: Hierarchy):
    found = at_hand.availability(dataclasses.replace(pets, source="imagefolder/imagenet"), tmp_path)
    assert found.size.startswith("138 GB") and "https://image-net.org/" in found.how[0]


def idx(folder: Path, suffix: str = "") -> None:
    folder.mkdir(parents=True)
    for name in MNIST:
        (folder / (name + suffix)).write_bytes(gzip.compress(b"x") if suffix else b"x")


@pytest.mark.parametrize(("layout", "root"), [("MNIST/raw", "x"), ("MNIST/raw", "x/MNIST"), ("y/MNIST", "x")])
def test_files_in_another_folder_are_found_and_the_remedy_works(
    tmp_path: Path, mnist: Hierarchy, layout: str, root: str
):
    idx(tmp_path / "x" / layout if root != "x" else tmp_path / "z" / layout)
    found = followed(mnist, tmp_path / root)
    assert found == Availability(True, note="no MD5 is published of the files")


def test_a_folder_that_is_there_already_is_filled(tmp_path: Path, mnist: Hierarchy, pets: Hierarchy):
    idx(tmp_path / "MNIST")
    (tmp_path / "MNIST" / "raw").mkdir()
    assert followed(mnist, tmp_path).ready
    images(tmp_path / "unpacked" / "train", "siam", "manx", "pug", "collie")
    images(tmp_path / "unpacked" / "val", "siam", "manx", "pug", "collie")
    (tmp_path / "pets").mkdir()
    assert followed(pets, tmp_path).ready
    assert sorted(path.name for path in (tmp_path / "pets").iterdir()) == ["train", "val"]


def test_files_that_may_be_those_of_another_set_are_no_find(tmp_path: Path, mnist: Hierarchy):
    idx(tmp_path / "KMNIST" / "raw")
    found = at_hand.availability(mnist, tmp_path)
    assert not found.ready and found.missing == f"no train-images-idx3-ubyte in {tmp_path}/MNIST/raw"
    assert found.how[0].startswith("c2f run --tasks pets ") and found.how[1].startswith("or by hand: unpack")


def test_packed_files_are_unpacked_where_they_lie(tmp_path: Path, mnist: Hierarchy):
    idx(tmp_path / "MNIST" / "raw", ".gz")
    assert followed(mnist, tmp_path).ready


@pytest.fixture
def cifar() -> Hierarchy:
    return registry.task("cifar100-superclass").hierarchy


def test_an_archive_is_found_and_unpacked(tmp_path: Path, cifar: Hierarchy):
    (tmp_path / "in" / CIFAR).mkdir(parents=True)
    for name in ("train", "test", "meta"):
        (tmp_path / "in" / CIFAR / name).write_text("x")
    root = tmp_path / "data root"
    root.mkdir()
    with tarfile.open(root / "cifar-100-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in" / CIFAR, CIFAR)
    found = followed(cifar, root)
    assert not found.ready and found.missing.startswith(f"{root}/{CIFAR}/train is damaged: its MD5 is not 16019d7e")


def test_pickles_that_are_not_the_published_ones_are_no_find(tmp_path: Path, cifar: Hierarchy):
    (tmp_path / "in" / CIFAR).mkdir(parents=True)
    for name in ("train", "test", "meta"):
        (tmp_path / "in" / CIFAR / name).write_text("x")
    found = at_hand.availability(cifar, tmp_path)
    assert found.missing == f"no train in {tmp_path}/{CIFAR}" and found.how[0].startswith("c2f run")
    assert found.size == "169 MB to download, 186 MB unpacked"
    assert at_hand.classes(cifar, tmp_path) is None


@pytest.mark.real_data
def test_real_cifar_is_verified_and_found_one_folder_off(
    tmp_path: Path, cifar: Hierarchy, real_data: Callable[[str], Path]
):
    folder = real_data("cifar100") / CIFAR
    assert at_hand.availability(cifar, folder.parent) == Availability(True, note="MD5 of every file is right")
    assert set(at_hand.classes(cifar, folder.parent) or ()) == set(cifar.leaves)
    assert followed(cifar, folder).ready
    for layout in (CIFAR, f"down/{CIFAR}", f"down/further/{CIFAR}", "cifar100", "down/cifar100"):
        root = tmp_path / layout.replace("/", "-")
        (root / layout).parent.mkdir(parents=True)
        (root / layout).symlink_to(folder)
        assert at_hand.availability(cifar, root).ready if layout == CIFAR else followed(cifar, root).ready
        (root / layout).unlink()


@pytest.mark.real_data
def test_real_fashion_is_told_by_its_md5_whatever_the_folder(tmp_path: Path, real_data: Callable[[str], Path]):
    tree = registry.task("fashion-mnist-groups").hierarchy
    (tmp_path / "clothes").symlink_to(real_data("fashion-mnist") / "FashionMNIST" / "raw")
    assert followed(tree, tmp_path) == Availability(True, note="MD5 of every file is right")


def test_what_is_decoded_already_needs_no_files(tmp_path: Path, pets: Hierarchy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("C2F_CACHE", str(tmp_path / "cache"))
    images(tmp_path / "pets" / "train", "siam", "manx", "pug", "collie")
    request = Request(dataclasses.replace(pets, source="known/pets"), tmp_path)
    family = SimpleNamespace(fingerprint=lambda request: "f" * 64, read=loading.FAMILIES["imagefolder"].read)
    monkeypatch.setattr(loading, "FAMILIES", {"known": family})
    monkeypatch.setattr(at_hand, "FAMILIES", {"known": family})
    assert at_hand.classes(request.hierarchy, tmp_path) is None
    data.decode(request.hierarchy, tmp_path)
    assert at_hand.availability(request.hierarchy, tmp_path).ready
    assert at_hand.classes(request.hierarchy, tmp_path) == ("collie", "manx", "pug", "siam")


def test_a_family_that_knows_no_more_says_what_its_refusal_says(
    tmp_path: Path, pets: Hierarchy, monkeypatch: pytest.MonkeyPatch
):
    def fingerprint(request: Request) -> str:
        raise InputError("no pets; fetch them")

    monkeypatch.setattr(at_hand, "FAMILIES", {"imagefolder": SimpleNamespace(fingerprint=fingerprint)})
    assert at_hand.availability(pets, tmp_path) == Availability(False, "no pets; fetch them")


def test_every_family_of_ours_knows_more():
    assert all(isinstance(family, Informed) for family in loading.FAMILIES.values())


PRODUCTS = "image_id class_id super_class_id path\n" + "".join(
    f"{i} 1 1 bicycle_final/{product}_{i}.JPG\n"
    for product, count in (("111502876121", 12), ("111687027218", 3))
    for i in range(count)
)
LAYOUTS = {
    "tiny-imagenet": ("tiny-imagenet-200", [*(f"train/n{i:08}/" for i in range(200)), "val/"]),
    "imagenet32": ("imagenet32", [*(f"train_data_batch_{i}" for i in range(1, 11)), "val_data"]),
    "sop": ("Stanford_Online_Products", ["Ebay_train.txt", "Ebay_test.txt", "bicycle_final/", "toaster_final/"]),
    "torchvision/OxfordIIITPet": ("oxford-iiit-pet", ["images/", "annotations/trainval.txt", "annotations/test.txt"]),
    "torchvision/Flowers102": ("flowers-102", ["jpg/", "imagelabels.mat", "setid.mat"]),
    "torchvision/INaturalist": (
        "2019",
        [f"{group}/" for group in ("Amphibians", "Birds", "Fungi", "Insects", "Plants", "Reptiles")],
    ),
}


def laid_out(source: str, root: Path) -> None:
    folder, places = LAYOUTS[source]
    for place in places:
        if place.endswith("/"):
            (root / folder / place).mkdir(parents=True)
        else:
            (root / folder / place).parent.mkdir(parents=True, exist_ok=True)
            (root / folder / place).write_text(PRODUCTS if place == "Ebay_test.txt" else PRODUCTS.splitlines()[0])


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("given", ["store/{}", "store", ".", "else", "store/renamed"])
def test_every_layout_is_found_one_folder_off(tmp_path: Path, pets: Hierarchy, source: str, given: str):
    tree, folder = dataclasses.replace(pets, source=source), LAYOUTS[source][0]
    laid_out(source, tmp_path / "store")
    if given == "store/renamed":
        (tmp_path / "store" / folder).rename(tmp_path / "store" / "renamed")
    root = tmp_path / given.format(folder)
    assert at_hand.availability(tree, root).ready == (given == "store") or followed(tree, root).ready


def test_another_imagenet_is_not_taken_for_the_tiny_one(tmp_path: Path, pets: Hierarchy):
    laid_out("tiny-imagenet", tmp_path / "store")
    (tmp_path / "store" / "tiny-imagenet-200").rename(tmp_path / "store" / "imagenet-201")
    (tmp_path / "store" / "imagenet-201" / "train" / "n99999999").mkdir()
    found = at_hand.availability(dataclasses.replace(pets, source="tiny-imagenet"), tmp_path / "store")
    assert (found.ready, found.size) == (False, "248 MB to download")
    assert found.how == (f"unpack http://cs231n.stanford.edu/tiny-imagenet-200.zip in {tmp_path}/store",)


def test_a_zip_is_unpacked(tmp_path: Path, pets: Hierarchy):
    laid_out("tiny-imagenet", tmp_path / "store")
    shutil.make_archive(str(tmp_path / "data" / "tiny-imagenet-200"), "zip", tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    assert followed(dataclasses.replace(pets, source="tiny-imagenet"), tmp_path / "data").ready


def test_classes_of_products_and_of_tiny_imagenet_are_known_without_decoding(tmp_path: Path, pets: Hierarchy):
    for source in LAYOUTS:
        laid_out(source, tmp_path)
    trees = {source: dataclasses.replace(pets, source=source) for source in ("sop", "tiny-imagenet", "imagenet32")}
    found = {source: at_hand.classes(tree, tmp_path) or () for source, tree in trees.items()}
    assert found["sop"] == ("111502876121",)  # the product with 12 photographs
    assert found["tiny-imagenet"][:2] == ("n00000000", "n00000001")
    assert len(set(found["imagenet32"])) == 1000


def verdicts(root: Path, extra: Path | None = None) -> dict[str, doctor.Verdict]:
    return {name: verdict for verdict in doctor.examine(root, extra) for name in verdict.tasks}


def test_every_task_gets_one_verdict(tmp_path: Path):
    found = [name for verdict in doctor.examine(tmp_path) for name in verdict.tasks]
    assert sorted(found) == sorted(registry.task_files())
    assert verdicts(tmp_path)["digits-halves"] == doctor.Verdict(
        ("digits-halves",), "ready", ("digits: inside scikit-learn",)
    )


def test_tasks_that_cannot_run_say_why(tmp_path: Path):
    texts = {
        "pets": HEADER + CLASSES,
        "torn": "name: torn\nversion",
        "strange": (HEADER + CLASSES)
        .replace("imagefolder/pets", "torchvision/PETS")
        .replace("name: pets", "name: strange"),
        "digital": (HEADER + CLASSES).replace("imagefolder/pets", "digits").replace("name: pets", "name: digital"),
        "flat": HEADER.replace("name: pets", "name: flat") + "classes: {cats: [siam], dogs: [pug]}\n",
    }
    (tmp_path / "own").mkdir()
    for name, text in texts.items():
        (tmp_path / "own" / f"{name}.yaml").write_text(text)
    found = verdicts(tmp_path, tmp_path / "own")
    assert {name: found[name].state for name in texts} == {
        "pets": "missing",
        "torn": "broken",
        "strange": "broken",
        "digital": "broken",
        "flat": "broken",
    }
    assert "not valid YAML" in found["torn"].lines[0]
    assert found["strange"].lines[0].startswith("unknown source 'torchvision/PETS'")
    assert found["digital"].lines == (
        "digits has 4 classes without images, e.g. collie and 10 classes that nobody claims, e.g. 0; "
        "c2f check lists all",
    )
    assert found["pets"].lines[0] == f"imagefolder/pets: no class folders in {tmp_path}/pets/train"


def test_the_machine_is_what_a_bug_report_needs(tmp_path: Path):
    found = dict(doctor.machine(tmp_path / "none"))
    assert found["Python"].startswith(platform.python_version())
    assert f"torch {torch.__version__}" in found["packages"] and f"timm {timm.__version__}" in found["packages"]
    assert found["images"].startswith(f"{tmp_path}/none (no such folder yet, ")
    assert found["cache"].startswith(f"{os.environ['C2F_CACHE']} (")


def test_doctor_works_offline_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError("no network, please")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("C2F_CACHE", str(tmp_path / "cache"))
    idx(tmp_path / "MNIST" / "raw", ".gz")
    before = sorted(tmp_path.rglob("*"))
    assert list(doctor.examine(tmp_path)) and list(doctor.machine(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before
