"""Tiny ImageNet in both layouts: the same images and labels, joined by WordNet id."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data import tiny_imagenet
from benchmark.data.source import Request
from benchmark.errors import InputError

CLASSES = ("n01443537", "n01629819")
GREY = {("train", "n01443537"): 10, ("train", "n01629819"): 20, ("val", "n01443537"): 30, ("val", "n01629819"): 40}


def paint(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (grey,) * 3).save(path)


def published(root: Path) -> Path:
    """Boxes beside the images, val in one folder with a table in no order of class, a test part without labels."""
    base = root / "tiny-imagenet-200"
    rows = []
    for i, name in enumerate((CLASSES[1], CLASSES[0], CLASSES[1])):
        paint(base / "val" / "images" / f"val_{i}.JPEG", GREY["val", name])
        rows.append(f"val_{i}.JPEG\t{name}\t0\t32\t44\t62\n")
    (base / "val" / "val_annotations.txt").write_text("".join(rows))
    for name in CLASSES:
        for i in range(2):
            paint(base / "train" / name / "images" / f"{name}_{i}.JPEG", GREY["train", name])
        (base / "train" / name / f"{name}_boxes.txt").write_text("")
    paint(base / "test" / "images" / "test_0.JPEG", 0)
    return root


def resorted(root: Path) -> Path:
    base = root / "tiny-imagenet-200"
    for part, counts in (("train", (2, 2)), ("val", (1, 2))):
        for name, count in zip(CLASSES, counts, strict=True):
            for i in range(count):
                paint(base / part / name / f"{i}.JPEG", GREY[part, name])
    return root


def half_sorted(root: Path) -> Path:
    """Sorted in place, as a common script leaves it: the table stays, and `val/CLASS/images` holds the images."""
    base = published(root) / "tiny-imagenet-200" / "val"
    for line in (base / "val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        (base / wnid / "images").mkdir(parents=True, exist_ok=True)
        (base / "images" / name).rename(base / wnid / "images" / name)
    (base / "images").rmdir()
    return root


@pytest.mark.parametrize("lay", [published, resorted, half_sorted])
def test_pixels_carry_the_class_of_their_label(
    tmp_path: Path, make_request: Callable[..., Request], lay: Callable[[Path], Path]
):
    raw = tiny_imagenet.read(make_request("tiny-imagenet", lay(tmp_path)))
    assert raw.classes == CLASSES
    assert {name: len(part.labels) for name, part in raw.parts.items()} == {"train": 4, "test": 3}
    for name, part in raw.parts.items():
        folder = {"train": "train", "test": "val"}[name]
        greys = [int(np.median(image)) for image in part.images]
        np.testing.assert_allclose(greys, [GREY[folder, raw.classes[label]] for label in part.labels], atol=1)  # JPEG


def test_missing_folder_says_where_and_how(tmp_path: Path, make_request: Callable[..., Request]):
    (tmp_path / "tiny-imagenet-200" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match=rf"no folder {tmp_path}/tiny-imagenet-200/val; unpack http\S+\.zip in"):
        tiny_imagenet.fingerprint(make_request("tiny-imagenet", tmp_path))


def test_what_is_at_hand_is_told_without_decoding(tmp_path: Path, make_request: Callable[..., Request]):
    request = make_request("tiny-imagenet", tmp_path)
    found = tiny_imagenet.availability(request)
    assert (found.ready, found.missing) == (False, f"no folder {tmp_path}/tiny-imagenet-200/train")
    assert found.how[-1].startswith("unpack http")
    published(tmp_path)
    assert tiny_imagenet.availability(request).ready
    assert tiny_imagenet.classes(request) == CLASSES


@pytest.mark.parametrize("line", ["val_0.JPEG n01443537", "../../x.JPEG\tn01443537", ""])
def test_damaged_table_is_named_with_its_line(tmp_path: Path, make_request: Callable[..., Request], line: str):
    table = published(tmp_path) / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    table.write_text(table.read_text() + line + "\n")
    with pytest.raises(InputError, match=r"val_annotations\.txt:4: expected FILE<TAB>WNID, found"):
        tiny_imagenet.read(make_request("tiny-imagenet", tmp_path))


def test_image_of_the_table_that_is_not_there_is_named(tmp_path: Path, make_request: Callable[..., Request]):
    image = published(tmp_path) / "tiny-imagenet-200" / "val" / "images" / "val_1.JPEG"
    request = make_request("tiny-imagenet", tmp_path)
    before = tiny_imagenet.fingerprint(request)
    paint(image, 99)
    assert tiny_imagenet.fingerprint(request) != before
    image.unlink()
    with pytest.raises(InputError, match=r"val_1\.JPEG: cannot be read \(No such file"):
        tiny_imagenet.fingerprint(request)
