"""scikit-learn's digits as a source."""

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits

from benchmark.data import digits
from benchmark.data.source import Request


def test_digits_are_scikit_learns_scaled_to_grey_levels(make_request: Callable[..., Request]):
    raw = digits.read(make_request("digits"))
    part = raw.parts["train"]
    original = load_digits()
    assert list(raw.parts) == ["train"]
    assert raw.classes == tuple("0123456789")
    assert (part.images.shape, part.images.dtype, part.labels.dtype) == ((1797, 1, 8, 8), np.uint8, np.int64)
    np.testing.assert_array_equal(part.labels, original.target)
    # 17 levels spread over [0, 255]: rounding moves none by more than half a grey level.
    np.testing.assert_allclose(part.images[:, 0] * (16 / 255), original.images, atol=0.5 * 16 / 255)
    assert (part.images.min(), part.images.max()) == (0, 255)


def test_fingerprint_is_stable_and_independent_of_the_hierarchy(make_request: Callable[..., Request]):
    one, other = digits.fingerprint(make_request("digits")), digits.fingerprint(make_request("digits", image_size=16))
    assert one == other
    assert len(bytes.fromhex(one)) == 32
