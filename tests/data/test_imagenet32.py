"""Batches of imagenet32: labels joined by WordNet id, and pickles that cannot do anything but hold arrays."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.data import imagenet32
from benchmark.data.source import Request
from benchmark.errors import InputError

FACTS = Path(__file__).parents[3] / "shared" / "facts"


def make(root: Path, protocol: int = 4, **changes: Any) -> tuple[np.ndarray, list[int]]:
    """Ten batches of 3 and one of 4, of noise; all pixels and labels in the order of the files."""
    rng = np.random.default_rng(0)
    images, labels = [], []
    for i, name in enumerate([*imagenet32.FILES["train"], "val_data"]):
        count = 4 if name == "val_data" else 3
        data = rng.integers(0, 256, (count, 3072)).astype(np.uint8)
        batch = {"data": data, "labels": [1 + (i * 97 + k * 331) % 1000 for k in range(count)], "mean": data.mean(0)}
        folder = root / ("Imagenet32_val" if name == "val_data" else "Imagenet32_train")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pickle.dumps({**batch, **changes}, protocol=protocol))
        images.append(data)
        labels += batch["labels"]
    return np.concatenate(images).reshape(-1, 3, 32, 32), labels


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pixels_and_names_follow_the_files(tmp_path: Path, make_request: Callable[..., Request], protocol: int):
    images, labels = make(tmp_path, protocol)
    raw = imagenet32.read(make_request("imagenet32", tmp_path))
    train, test = raw.parts["train"], raw.parts["test"]
    assert (train.images.shape, test.images.shape) == ((30, 3, 32, 32), (4, 3, 32, 32))
    np.testing.assert_array_equal(np.stack([*train.images, *test.images]), images)
    names = (Path(imagenet32.__file__).parent / "imagenet32_classes.txt").read_text().splitlines()
    assert [raw.classes[label] for label in [*train.labels, *test.labels]] == [names[label - 1] for label in labels]


def test_batches_written_by_an_older_numpy_are_read(tmp_path: Path, make_request: Callable[..., Request]):
    images, _ = make(tmp_path, protocol=2)
    for path in tmp_path.rglob("*_*"):
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    raw = imagenet32.read(make_request("imagenet32", tmp_path))
    np.testing.assert_array_equal(np.stack(list(raw.parts["train"].images)), images[:30])


def test_order_of_the_classes_is_the_published_one():
    classes = imagenet32._classes()
    assert len(set(classes)) == 1000
    # The first lines of map_clsloc.txt, which comes with the set: kit fox, English setter, Siberian husky.
    assert classes[:3] == ("n02119789", "n02100735", "n02110185")
    if not FACTS.is_dir():
        pytest.skip("no table of published maps beside the checkout")
    published = json.loads((FACTS / "coarse_maps.json").read_text())["imagenet32_12"]
    index = json.loads((FACTS / "breeds_tasks.json").read_text())["class_index"]
    for label, name in enumerate(classes):
        assert published["imagenet32_label_minus_1_to_imagenet1k_index"][str(label)] == index[name]


class Trap:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_code_in_a_batch_is_refused_and_does_not_run(tmp_path: Path, make_request: Callable[..., Request]):
    make(tmp_path, labels=Trap(tmp_path / "sprung"))
    with pytest.raises(InputError, match=r"train_data_batch_1: not a batch of imagenet32 \(it asks for \S+, which no"):
        imagenet32.read(make_request("imagenet32", tmp_path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(V1\ntR.",
        b"cos\nsystem\n(Vtrue\ntR.",
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"cnumpy\nload\n(Vx\ntR.",
        b"",
        b"garbage",
    ],
)
def test_anything_but_arrays_and_containers_is_refused(
    tmp_path: Path, make_request: Callable[..., Request], code: bytes
):
    make(tmp_path)
    (tmp_path / "Imagenet32_train" / "train_data_batch_2").write_bytes(code)
    with pytest.raises(InputError, match=r"train_data_batch_2: not a batch of imagenet32 \(.+\); get it again"):
        imagenet32.read(make_request("imagenet32", tmp_path))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"data": np.zeros((3, 12288), np.uint8)},
            r"expected uint8 images \(N, 3072\) and N labels, found uint8",
        ),
        ({"data": np.zeros((3, 3072))}, r"found float64 \(3, 3072\)"),
        ({"labels": [1, 2]}, r"\(2,\) labels"),
        ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, r"found uint8 \(0, 3072\)"),
        ({"labels": [0, 1, 2]}, "expected integer labels from 1 to 1000"),
        ({"labels": [1, 2, 1001]}, "expected integer labels from 1 to 1000"),
        ({"labels": [1.5, 2, 3]}, "expected integer labels from 1 to 1000"),
        ({"labels": None}, r"\(\) labels"),
    ],
)
def test_batch_of_another_shape_is_refused(
    tmp_path: Path, make_request: Callable[..., Request], changes: dict[str, Any], complaint: str
):
    make(tmp_path, **changes)
    with pytest.raises(InputError, match=f"train_data_batch_1: .*{complaint}"):
        imagenet32.read(make_request("imagenet32", tmp_path))


def test_what_is_at_hand_is_told_without_decoding(tmp_path: Path, make_request: Callable[..., Request]):
    request = make_request("imagenet32", tmp_path)
    found = imagenet32.availability(request)
    assert not found.ready
    assert found.missing.startswith("no train_data_batch_1 in imagenet32, ")
    with pytest.raises(InputError, match="no train_data_batch_1"):
        imagenet32.classes(request)
    make(tmp_path, data=None)  # pixels are not looked at
    assert imagenet32.availability(request).ready
    assert imagenet32.classes(request) == imagenet32._classes()


def test_missing_batch_says_where_and_how(tmp_path: Path, make_request: Callable[..., Request]):
    make(tmp_path)
    (tmp_path / "Imagenet32_train" / "train_data_batch_7").unlink()
    with pytest.raises(InputError, match=r"no train_data_batch_7 in imagenet32, Imagenet32_train, .*; get the 32 x 32"):
        imagenet32.fingerprint(make_request("imagenet32", tmp_path))


def test_fingerprint_follows_the_files(tmp_path: Path, make_request: Callable[..., Request]):
    make(tmp_path)
    request = make_request("imagenet32", tmp_path)
    before = imagenet32.fingerprint(request)
    assert imagenet32.fingerprint(request) == before
    batch = tmp_path / "Imagenet32_val" / "val_data"
    batch.write_bytes(batch.read_bytes() + b"\0")
    assert imagenet32.fingerprint(request) != before
