"""Files as an array: order, bounded work ahead, and what is said about a broken one."""

import random
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmark.data import files
from benchmark.errors import InputError


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """100 files of one grey level each, their place in the list."""
    made = [tmp_path / f"{i}.png" for i in range(100)]
    for i, path in enumerate(made):
        Image.new("RGB", (8, 8), (i, i, i)).save(path)
    return made


@pytest.mark.parametrize(("chunk", "ahead"), [(1, 1), (7, 1), (16, 4), (1000, 4)])
def test_images_come_in_the_order_of_the_files(
    paths: list[Path], chunk: int, ahead: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "CHUNK", chunk)
    monkeypatch.setattr(files, "AHEAD", ahead)
    images = files.Files(paths, 4)
    assert images.shape == (100, 3, 4, 4)
    np.testing.assert_array_equal(np.stack(list(images)), np.arange(100)[:, None, None, None] * np.ones((3, 4, 4)))


def test_no_more_is_decoded_than_so_far_ahead(paths: list[Path], monkeypatch: pytest.MonkeyPatch):
    decoded: list[Path] = []
    decode = files.decode
    monkeypatch.setattr(files, "CHUNK", 2)
    monkeypatch.setattr(files, "AHEAD", 1)
    monkeypatch.setattr(files, "cores", lambda: 3)
    monkeypatch.setattr(files, "decode", lambda path, size: (decoded.append(path), decode(path, size))[1])
    next(iterator := iter(files.Files(paths, 4)))
    iterator.close()
    assert len(decoded) <= 2 * (3 + 1)


def test_broken_file_is_named_when_its_turn_comes(paths: list[Path]):
    paths[50].write_bytes(b"not an image")
    iterator = iter(files.Files(paths, 4))
    assert [int(next(iterator)[0, 0, 0]) for _ in range(48)] == list(range(48))  # three chunks of 16
    with pytest.raises(InputError, match=r"50\.png: cannot be decoded \(.*\); replace or remove it"):
        next(iterator)


def test_fingerprint_follows_part_class_place_and_size(paths: list[Path], tmp_path: Path):
    parts = {"train": [(path, "a") for path in paths]}
    seen = {
        files.fingerprint(tmp_path, parts, 4),
        files.fingerprint(tmp_path, parts, 8),
        files.fingerprint(tmp_path, {"test": parts["train"]}, 4),
        files.fingerprint(tmp_path, {"train": [(path, "b") for path in paths]}, 4),
        files.fingerprint(tmp_path, {"train": parts["train"][::-1]}, 4),
    }
    assert len(seen) == 5
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in paths:
        path.rename(moved / path.name)  # times stay
    again = {"train": [(moved / path.name, "a") for path in paths]}
    assert files.fingerprint(moved, again, 4) in seen


def by_pillow(content: bytes, size: int) -> np.ndarray | None:
    """(3, size, size), the documented way; None for what Pillow refuses."""
    try:
        with Image.open(BytesIO(content)) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    except (OSError, SyntaxError):
        return None
    return np.asarray(fitted).transpose(2, 0, 1)


def photograph(width: int, height: int) -> Image.Image:
    """Smooth colours and some noise."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 5), np.cos(y / 7), np.sin((x + y) / 9)], axis=2)
    noise = np.random.default_rng(0).normal(scale=20, size=waves.shape)
    return Image.fromarray((100 * waves + 128 + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(("width", "height"), [(24, 24), (25, 31), (64, 40)])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"subsampling": 0, "quality": 95}),
        ("RGB", {"subsampling": 1, "quality": 10}),
        ("RGB", {"progressive": True}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_pixels_are_those_of_pillow(mode: str, options: dict, width: int, height: int, tmp_path: Path):
    path = tmp_path / "image.jpg"
    photograph(width, height).convert(mode).save(path, **options)
    np.testing.assert_array_equal(files.decode(path, 24), by_pillow(path.read_bytes(), 24))


def test_what_pillow_refuses_is_refused(tmp_path: Path):
    path, draw, refused = tmp_path / "image.jpg", random.Random(0), 0
    photograph(24, 24).save(path)
    whole = path.read_bytes()
    for attempt in range(200):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged if attempt % 2 else damaged[: draw.randrange(len(whole))])
        expected = by_pillow(path.read_bytes(), 24)
        if expected is None:
            refused += 1
            with pytest.raises(InputError, match="cannot be decoded"):
                files.decode(path, 24)
        else:
            np.testing.assert_array_equal(files.decode(path, 24), expected)
    assert 100 < refused < 200


def test_decoders_that_differ_leave_the_word_to_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "image.jpg"
    photograph(24, 24).save(path)
    monkeypatch.setattr(files, "_jpeg", lambda content: np.zeros((3, 61, 63), np.uint8))
    files._decoders_agree.cache_clear()
    try:
        assert not files._decoders_agree()
        np.testing.assert_array_equal(files.decode(path, 24), by_pillow(path.read_bytes(), 24))
    finally:
        files._decoders_agree.cache_clear()
