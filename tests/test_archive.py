"""Predictions and features on disk: what goes in comes out, small, without pickle; what is none of ours is refused."""

import dataclasses
import pickle
import zipfile

import numpy as np
import pytest
import torch

from benchmark import archive
from benchmark.errors import InputError
from benchmark.metrics import Predictions
from benchmark.schema import Features, Labels


@pytest.fixture
def predictions(rng):
    def classes(high, *shape):
        return torch.randint(high, shape, generator=rng)

    return Predictions(
        fine=classes(100, 40),
        shots=classes(70_000, 100),
        coarse_logits=torch.randn(40, 20, generator=rng),
        source=None,
        linear=classes(100, 40),
        linear_within=classes(100, 40),
        knn=classes(100, 40),
        ncm=classes(100, 40),
        first_hit=classes(40, 40),
        average_precision=torch.rand(40, generator=rng).index_fill(0, torch.tensor([3]), float("nan")),
        episodes={"5way_1shot": classes(75, 7, 20, 2), "intra_5shot": classes(300, 3, 20, 2)},
        clusters=classes(5, 40) - 1,
    )


@pytest.fixture
def kept(rng):
    features = Features(
        *(torch.randn(n, 5, generator=rng) for n in (6, 3, 4)),
        head=(torch.randn(2, 5, generator=rng), torch.randn(2, generator=rng)),
        held_out_logits=torch.randn(3, 2, generator=rng),
        test_logits=torch.randn(4, 2, generator=rng),
        untrained=torch.randn(4, 5, generator=rng),
        layers={"stage 1": torch.randn(4, 2, generator=rng), "stage 2": torch.randn(4, 3, generator=rng)},
    )
    labels = Labels(
        *(torch.arange(n) % 2 for n in (6, 3, 4)), shots=torch.tensor([5, 4]), held_out=torch.zeros(3).long()
    )
    return features, labels


def same(a, b):
    """Whether two dataclasses of tensors are equal bit by bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a.nan_to_num(7e7), b.nan_to_num(7e7))
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return all(map(same, a, b)) if isinstance(a, tuple) else a is b is None


def test_predictions_come_out_as_they_went_in(predictions, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(archive.pack(predictions))
    assert same(archive.unpack(path), predictions)


def test_the_same_predictions_are_the_same_bytes(predictions):
    assert archive.pack(predictions) == archive.pack(predictions)


def test_labels_take_a_byte_each(predictions, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(archive.pack(predictions))
    with np.load(path) as arrays:
        assert {name: str(arrays[name].dtype) for name in ("linear", "shots", "clusters", "coarse_logits")} == {
            "linear": "uint8",
            "shots": "uint32",
            "clusters": "int8",
            "coarse_logits": "float32",
        }


def test_features_come_out_as_they_went_in(kept, tmp_path):
    path = tmp_path / "folder" / "x.safetensors"
    archive.keep(path, *kept, {"history": [{"epoch": 0, "loss": 0.1}], "cost": {}})
    features, labels, record = archive.recall(path)
    assert same(features, kept[0]) and same(labels, kept[1])
    assert record == {"history": [{"epoch": 0, "loss": 0.1}], "cost": {}}
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


def test_features_without_a_head_come_out_too(kept, tmp_path):
    bare = dataclasses.replace(kept[0], head=None, held_out_logits=None, test_logits=None, untrained=None, layers={})
    archive.keep(tmp_path / "x", bare, kept[1], {})
    assert same(archive.recall(tmp_path / "x")[0], bare)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", pickle.dumps({"fine": 1})])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x: not a file of predictions .*run the cell anew"):
        archive.unpack(path)
    with pytest.raises(InputError, match=r"x: not a file of features .*run the cell anew"):
        archive.recall(path)


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", fine=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="not a file of predictions"):
        archive.unpack(tmp_path / "x.npz")


def test_an_archive_that_grows_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("fine.npy", bytes(10_000))
    with pytest.raises(InputError, match="too large"):
        archive.unpack(tmp_path / "x.npz")


def test_other_arrays_are_refused(predictions, tmp_path):
    np.savez(tmp_path / "x.npz", surprise=np.zeros(3))
    with pytest.raises(InputError, match="surprise"):
        archive.unpack(tmp_path / "x.npz")
