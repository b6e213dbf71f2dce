"""Procedural images: counts, determinism, and structure that follows the hierarchy."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from benchmark.data import synthetic
from benchmark.data.source import Request
from benchmark.errors import InputError


def test_every_class_gets_m_images_in_train_and_test(make_request: Callable[..., Request]):
    raw = synthetic.read(make_request("synthetic/5", image_size=12))
    assert raw.classes == ("a", "b", "c")
    for part in (raw.parts["train"], raw.parts["test"]):
        assert (part.images.shape, part.images.dtype) == ((15, 3, 12, 12), np.uint8)
        assert np.bincount(part.labels).tolist() == [5, 5, 5]
    assert not np.array_equal(raw.parts["train"].images, raw.parts["test"].images)


def test_images_are_a_function_of_the_request(make_request: Callable[..., Request]):
    one, again = (synthetic.read(make_request("synthetic/3")) for _ in range(2))
    np.testing.assert_array_equal(one.parts["train"].images, again.parts["train"].images)


def test_siblings_are_nearer_than_strangers(make_request: Callable[..., Request]):
    part = synthetic.read(make_request("synthetic/50", image_size=16)).parts["train"]
    a, b, c = (part.images[part.labels == label].mean(axis=0) for label in range(3))
    assert np.abs(a - b).mean() < min(np.abs(a - c).mean(), np.abs(b - c).mean())


@pytest.mark.parametrize(
    "source", ["synthetic", "synthetic/", "synthetic/1", "synthetic/10001", "synthetic/x", "synthetic/-3"]
)
def test_count_out_of_range_is_refused(make_request: Callable[..., Request], source: str):
    with pytest.raises(InputError, match=f"source '{source}': expected synthetic/M .* 2 to 10000; write"):
        synthetic.fingerprint(make_request(source))


def test_fingerprint_follows_count_size_and_classes(make_request: Callable[..., Request]):
    base = make_request("synthetic/5")
    moved = dataclasses.replace(base.hierarchy, paths=(("x", "a"), ("y", "b"), ("y", "c")))
    requests = [base, make_request("synthetic/6"), make_request("synthetic/5", image_size=9), Request(moved, base.root)]
    assert len({synthetic.fingerprint(request) for request in requests}) == 4
