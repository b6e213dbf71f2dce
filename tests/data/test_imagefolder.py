"""Folder trees of images made on the spot: decoding, joining by folder name, and what is refused."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark import data, registry
from benchmark.data import imagefolder
from benchmark.data.source import Request
from benchmark.errors import InputError
from benchmark.schema import Task

COLOURS = {"a": (250, 0, 0), "b": (0, 250, 0), "c": (0, 0, 250), "d": (90, 90, 90)}
YAML = """\
name: folders
version: 1
title: Folders
source: imagefolder/pets
image_size: 8
levels: [coarse, fine]
ignore: [d]
classes:
  y: [c]
  x: [b, a]
"""


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def tree(root: Path, parts: tuple[str, ...] = ("train",), classes: str = "abcd", count: int = 5) -> Path:
    """root/pets/PART/CLASS/I.png, each image in its class's colour."""
    for part in parts:
        for name in classes:
            for i in range(count):
                paint(root / "pets" / part / name / f"{i}.png", COLOURS[name])
    return root


@pytest.fixture
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("hierarchies")
    (folder / "folders.yaml").write_text(YAML)
    return registry.task("folders", folder)


@pytest.mark.parametrize("parts", [("train",), ("train", "test"), ("train", "val"), ("train", "val", "test")])
def test_val_and_test_are_optional(tmp_path: Path, task: Task, parts: tuple[str, ...]):
    splits = data.load(task, data.decode(task.hierarchy, tree(tmp_path, parts)))
    for split in (splits.train, splits.val, splits.test):
        assert set(split.labels.tolist()) == {0, 1, 2}  # c, b, a: the order of the file, not of the folders
        for image, label in zip(split.images, split.labels, strict=True):
            assert tuple(image[:, 0, 0].tolist()) == COLOURS["cba"[int(label)]]
    assert len(splits.train.labels) + len(splits.val.labels) + len(splits.test.labels) == 15 * len(parts)


def test_val_is_the_test_part_where_there_is_no_test(tmp_path: Path, task: Task):
    """As ImageNet is published: validation is then split off train."""
    root = tree(tree(tmp_path, ("train",), count=20), ("val",), count=3)
    splits = data.load(task, data.decode(task.hierarchy, root))
    assert [len(split.labels) for split in (splits.train, splits.val, splits.test)] == [54, 6, 9]
    splits = data.load(task, data.decode(task.hierarchy, tree(root, ("test",), count=4)))
    assert [len(split.labels) for split in (splits.train, splits.val, splits.test)] == [60, 9, 12]


def test_only_listed_classes_are_decoded_where_others_are_ignored(tmp_path: Path, task: Task):
    root = tree(tmp_path)
    (root / "pets" / "train" / "d" / "0.png").write_bytes(b"not an image")  # and nobody minds
    others = dataclasses.replace(task, hierarchy=dataclasses.replace(task.hierarchy, ignore="others"))
    decoded = data.decode(others.hierarchy, root)
    assert decoded.raw.classes == ("a", "b", "c")
    assert data.cover(others, decoded) == others
    before = imagefolder.fingerprint(Request(others.hierarchy, root))
    (root / "pets" / "train" / "d" / "1.png").unlink()
    assert imagefolder.fingerprint(Request(others.hierarchy, root)) == before
    fewer = dataclasses.replace(others.hierarchy, paths=others.hierarchy.paths[:2])
    assert imagefolder.fingerprint(Request(fewer, root)) != before


def test_folders_of_other_classes_are_not_entered(tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch):
    """Of nested classes, those on the way to listed ones are; what lies in them directly is of another class."""
    for name in ("p/a", "p/z", "q/b", "r", "p"):
        paint(tmp_path / "pets" / "train" / name / "0.png", (0, 0, 0))
    listed = dataclasses.replace(task.hierarchy, paths=(("x", "p/a"), ("y", "q/b")), ignore="others")
    entered: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (entered.append(Path(path).name), scandir(path))[1])
    raw = imagefolder.read(Request(listed, tmp_path))
    assert raw.classes == ("p/a", "q/b")
    assert entered == ["train", "p", "a", "q", "b"]


def test_modes_and_shapes_become_square_rgb(tmp_path: Path, make_request: Callable[..., Request]):
    folder = tmp_path / "pets" / "train" / "a"
    paint(folder / "0-colour.JPG", (200, 100, 50))
    Image.new("L", (20, 10), 70).save(folder / "1-grey.png")
    Image.new("RGB", (10, 30), (10, 20, 30)).quantize(2).save(folder / "2-palette.png")
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(folder / "3-alpha.png")
    wide = Image.new("RGB", (32, 8), (255, 0, 0))
    wide.paste((0, 0, 255), (12, 0, 20, 8))
    wide.save(folder / "4-wide.bmp")
    part = imagefolder.read(make_request("imagefolder/pets", tmp_path)).parts["train"]
    images = np.stack(list(part.images))
    assert (part.images.shape, images.shape, images.dtype) == ((5, 3, 8, 8), (5, 3, 8, 8), np.uint8)
    expected = [(200, 100, 50), (70, 70, 70), (10, 20, 30), (1, 2, 3), (0, 0, 255)]  # the last: centre of the strip
    for image, colour, atol in zip(images, expected, (4, 0, 0, 0, 0), strict=True):  # JPEG loses a little
        np.testing.assert_allclose(
            image.astype(int), np.broadcast_to(np.reshape(colour, (3, 1, 1)), (3, 8, 8)), atol=atol
        )


def test_stray_files_and_empty_folders_are_ignored(tmp_path: Path, make_request: Callable[..., Request]):
    root = tree(tmp_path, classes="ab", count=2)
    (root / "pets" / "train" / "README.md").write_text("hello")
    (root / "pets" / "train" / "a" / "Thumbs.db").write_bytes(b"\0")
    (root / "pets" / "train" / ".cache").mkdir()
    (root / "pets" / "unknown").mkdir()
    raw = imagefolder.read(make_request("imagefolder/pets", root))
    assert raw.classes == ("a", "b")
    assert {name: part.labels.tolist() for name, part in raw.parts.items()} == {"train": [0, 0, 1, 1]}


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0"], ids=["empty", "text", "cut-jpeg"])
def test_corrupt_image_is_named(tmp_path: Path, make_request: Callable[..., Request], content: bytes):
    root = tree(tmp_path, classes="ab", count=1)
    (root / "pets" / "train" / "b" / "broken.jpg").write_bytes(content)
    images = imagefolder.read(make_request("imagefolder/pets", root)).parts["train"].images
    with pytest.raises(InputError, match=r"train/b/broken\.jpg: cannot be decoded \(.*\); replace or remove it"):
        list(images)


def test_truncated_jpeg_is_named(tmp_path: Path, make_request: Callable[..., Request]):
    path = tmp_path / "pets" / "train" / "a" / "half.jpg"
    paint(path, (1, 2, 3))
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-500])
    images = imagefolder.read(make_request("imagefolder/pets", tmp_path)).parts["train"].images
    with pytest.raises(InputError, match=r"half\.jpg: cannot be decoded .*truncated"):
        list(images)


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [
        ("abd", r"folders: imagefolder/pets has 1 classes without images: c\. Remedy: list them in the hierarchy"),
        ("ad", "has 2 classes without images: b, c"),
    ],
)
def test_missing_class_folder_is_named(tmp_path: Path, task: Task, classes: str, complaint: str):
    decoded = data.decode(task.hierarchy, tree(tmp_path, classes=classes))
    with pytest.raises(InputError, match=complaint):
        data.cover(task, decoded)


def test_extra_class_folder_is_named(tmp_path: Path, task: Task):
    root = tree(tmp_path)
    paint(root / "pets" / "train" / "zebra" / "0.png", (0, 0, 0))
    with pytest.raises(InputError, match=r"1 classes nobody claims: zebra\. Remedy: list .* `ignore`"):
        data.cover(task, data.decode(task.hierarchy, root))


@pytest.mark.parametrize("part", ["val", "test"])
def test_class_without_images_in_one_part_is_named(tmp_path: Path, task: Task, part: str):
    root = tree(tree(tmp_path, ("train", "val", "test"), classes="ab"), ("train", *({"val", "test"} - {part})))
    with pytest.raises(InputError, match=f"folders: no {part} images of c; add images"):
        data.load(task, data.decode(task.hierarchy, root))


def test_empty_part_is_named(tmp_path: Path, task: Task):
    (tree(tmp_path) / "pets" / "test").mkdir()
    with pytest.raises(InputError, match="folders: no test images of c, b, a; add images"):
        data.load(task, data.decode(task.hierarchy, tmp_path))


def test_missing_folder_says_where_it_looked_and_how_to_mend(tmp_path: Path, make_request: Callable[..., Request]):
    with pytest.raises(InputError, match=rf"no folder {tmp_path}/pets/train; put .* train/CLASS/IMAGE, .* --data-root"):
        imagefolder.fingerprint(make_request("imagefolder/pets", tmp_path))


@pytest.mark.parametrize("name", ["../pets", "a/../../pets", "/etc", ""])
def test_folder_outside_the_root_is_refused(tmp_path: Path, make_request: Callable[..., Request], name: str):
    inner = tmp_path / "inner"
    inner.mkdir()
    tree(tmp_path)
    with pytest.raises(InputError, match="expected imagefolder/NAME, a folder below the data root"):
        imagefolder.fingerprint(make_request(f"imagefolder/{name}", inner))


def test_fingerprint_follows_the_files(tmp_path: Path, make_request: Callable[..., Request]):
    request = make_request("imagefolder/pets", tree(tmp_path, classes="ab", count=2))
    image = tmp_path / "pets" / "train" / "a" / "0.png"
    seen = [imagefolder.fingerprint(request), imagefolder.fingerprint(make_request("imagefolder/pets", tmp_path, 16))]
    os.utime(image, ns=(0, 0))
    seen.append(imagefolder.fingerprint(request))
    image.rename(image.with_name("9.png"))
    seen.append(imagefolder.fingerprint(request))
    (tmp_path / "pets" / "train" / "b" / "1.png").unlink()
    seen.append(imagefolder.fingerprint(request))
    assert len(set(seen)) == 5
    assert imagefolder.fingerprint(request) == seen[-1]


def test_a_nested_folder_is_a_class_by_its_path(tmp_path: Path, make_request: Callable[..., Request]):
    for part, name, label in [("train", "x/a", "a"), ("train", "y/a", "b"), ("train", "c", "c"), ("val", "y/a", "b")]:
        paint(tmp_path / "pets" / part / name / "0.png", COLOURS[label])
    request = make_request("imagefolder/pets", tmp_path)
    raw = imagefolder.read(request)
    assert raw.classes == ("c", "x/a", "y/a")
    assert imagefolder.class_folders(tmp_path / "pets") == {"train": ["c", "x/a", "y/a"], "val": ["y/a"]}
    for part in raw.parts.values():
        for image, label in zip(part.images, part.labels, strict=True):
            assert tuple(image[:, 0, 0].tolist()) == COLOURS[{"c": "c", "x/a": "a", "y/a": "b"}[raw.classes[label]]]
    before = imagefolder.fingerprint(request)
    (tmp_path / "pets" / "train" / "x").rename(tmp_path / "pets" / "train" / "z")
    assert imagefolder.fingerprint(request) != before


def test_a_folder_without_parts_is_all_train(tmp_path: Path, make_request: Callable[..., Request]):
    paint(tmp_path / "pets" / "a" / "0.png", COLOURS["a"])
    (tmp_path / "elsewhere").mkdir()
    paint(tmp_path / "elsewhere" / "0.png", COLOURS["b"])
    (tmp_path / "pets" / "b").symlink_to(tmp_path / "elsewhere")
    raw = imagefolder.read(make_request("imagefolder/pets", tmp_path))
    assert raw.classes == ("a", "b") and list(raw.parts) == ["train"]
    (tmp_path / "pets" / "val").mkdir()
    with pytest.raises(InputError, match=f"no folder {tmp_path}/pets/train"):
        imagefolder.read(make_request("imagefolder/pets", tmp_path))
