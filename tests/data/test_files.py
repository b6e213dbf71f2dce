"""Files as an array: order, bounded work ahead, and what is said about a broken one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    monkeypatch.setattr(files, "_cores", lambda: 3)
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
