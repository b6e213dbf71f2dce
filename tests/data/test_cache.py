"""The decoded cache: read once, checked always, rebuilt when damaged, nothing half-written left behind."""

import json
import math
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmark.data import cache
from benchmark.data.source import Part, Raw
from benchmark.errors import InputError


class Reader:
    """A source that counts how often it is read."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Raw:
        self.calls += 1
        images = np.arange(5 * 3 * 4 * 4, dtype=np.uint8).reshape(5, 3, 4, 4)
        return Raw(
            ("a", "b"), {"train": Part(images, np.array([0, 1, 0, 1, 1])), "test": Part(images[:2], np.array([0, 1]))}
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("C2F_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def entry(folder: Path) -> Path:
    return folder / "decoded" / "f"


def assert_equal(found: Raw, expected: Raw) -> None:
    assert found.classes == expected.classes
    assert list(found.parts) == list(expected.parts)
    for name, part in found.parts.items():
        np.testing.assert_array_equal(part.images, expected.parts[name].images)
        np.testing.assert_array_equal(part.labels, expected.parts[name].labels)
        assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int64)


def test_second_load_does_not_read(folder: Path):
    reader = Reader()
    first, content = cache.load("f", reader)
    second, again = cache.load("f", reader)
    assert reader.calls == 1
    assert content == again
    assert isinstance(second.parts["train"].images, np.memmap)
    assert_equal(first, reader())
    assert_equal(second, reader())


def test_another_fingerprint_is_another_entry(folder: Path):
    reader = Reader()
    assert cache.load("f", reader)[1] == cache.load("g", reader)[1]
    assert reader.calls == 2


class Drawn:
    """Images that exist one at a time."""

    shape = (500, 3, 64, 64)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (np.full((3, 64, 64), i % 256, np.uint8) for i in range(500))


def test_images_are_written_as_they_come_in_little_memory(folder: Path):
    raw = Raw(("a",), {"train": Part(Drawn(), np.zeros(500, np.int64))})
    tracemalloc.start()
    try:
        found, content = cache.load("f", lambda: raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * math.prod(Drawn.shape)
    whole = np.stack(list(Drawn()))
    np.testing.assert_array_equal(found.parts["train"].images, whole)
    arrays = Raw(("a",), {"train": Part(whole, np.zeros(500, np.int64))})
    assert cache.load("g", lambda: arrays)[1] == content


def test_watcher_is_told_of_every_image_once(folder: Path):
    told: list[tuple[str, int]] = []

    class Watching:
        def begin(self, images: int) -> None:
            told.append(("begin", images))

        def step(self, images: int) -> None:
            told.append(("step", images))

    cache.load("f", Reader(), Watching())
    cache.load("f", Reader(), Watching())
    assert told == [("begin", 7), *[("step", 1)] * 7]


def test_pixels_are_hashed_again_only_if_their_file_looks_changed(
    folder: Path, entry: Path, monkeypatch: pytest.MonkeyPatch
):
    _, content = cache.load("f", Reader())
    hashed: list[Raw] = []
    whole = cache._content
    monkeypatch.setattr(cache, "_content", lambda raw: (hashed.append(raw), whole(raw))[1])
    assert (cache.load("f", Reader())[1], len(hashed)) == (content, 0)
    os.utime(entry / "train-images.npy", ns=(1, 1))
    assert (cache.load("f", Reader())[1], len(hashed)) == (content, 1)
    assert (cache.load("f", Reader())[1], len(hashed)) == (content, 1)


def test_entry_of_an_earlier_version_without_a_seal_serves(folder: Path, entry: Path):
    reader = Reader()
    _, content = cache.load("f", reader)
    edit_meta(seal=None)(entry)
    assert cache.load("f", reader)[1] == content
    assert reader.calls == 1
    assert "seal" in json.loads((entry / "meta.json").read_text())


def test_writing_to_the_arrays_leaves_the_cache_alone(folder: Path):
    reader = Reader()
    cache.load("f", reader)[0].parts["train"].images[:] = 0
    assert_equal(cache.load("f", reader)[0], reader())
    assert reader.calls == 2  # the second is the line above


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        (entry / name).write_bytes(change((entry / name).read_bytes()))
        os.utime(entry / name, ns=(1, 1))  # on a fast machine the clock may not have moved since it was written

    return damage


def edit_meta(**changes: object) -> Callable[[Path], None]:
    def change(text: bytes) -> bytes:
        return json.dumps({k: v for k, v in (json.loads(text) | changes).items() if v is not None}).encode()

    return edit("meta.json", change)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(edit("train-images.npy", lambda b: b[:-7]), id="truncated-images"),
        pytest.param(edit("train-labels.npy", lambda b: b[:-7]), id="truncated-labels"),
        pytest.param(edit("train-images.npy", lambda b: bytes(len(b))), id="zeroed-file"),
        pytest.param(edit("train-images.npy", lambda b: b[:128] + bytes(len(b) - 128)), id="zeroed-pixels"),
        pytest.param(edit("test-images.npy", lambda b: b[:-1] + b"\xff"), id="edited-pixel"),
        pytest.param(edit("test-labels.npy", lambda b: b[:-8] + b"\0" * 8), id="edited-label"),
        pytest.param(edit("train-labels.npy", lambda b: b""), id="empty-file"),
        pytest.param(edit("train-images.npy", lambda b: b.replace(b"|u1", b"|i1")), id="signed-pixels"),
        pytest.param(edit("train-labels.npy", lambda b: b.replace(b"<i8", b">i8")), id="swapped-bytes"),
        pytest.param(edit("train-images.npy", lambda b: b.replace(b"'descr'", b"('descr")), id="mangled-header"),
        pytest.param(lambda entry: (entry / "test-labels.npy").unlink(), id="missing-file"),
        pytest.param(edit("meta.json", lambda b: b[:10]), id="truncated-meta"),
        pytest.param(edit("meta.json", lambda b: b"[]"), id="meta-is-a-list"),
        pytest.param(edit("meta.json", lambda b: b"\xff\xfe"), id="meta-is-binary"),
        pytest.param(edit_meta(content=None), id="meta-without-digest"),
        pytest.param(edit_meta(classes=["b", "a"]), id="meta-with-other-classes"),
        pytest.param(edit_meta(format=0), id="older-format"),
    ],
)
def test_damaged_entry_is_rebuilt_with_the_same_content(entry: Path, damage: Callable[[Path], None]):
    reader = Reader()
    _, content = cache.load("f", reader)
    damage(entry)
    found, again = cache.load("f", reader)
    assert (reader.calls, again) == (2, content)
    assert_equal(found, reader())
    assert sorted(path.name for path in entry.parent.iterdir()) == ["f"]


def test_unwritable_folder_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("C2F_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"cache folder .*/file/cache/decoded cannot be written .*; set C2F_CACHE"):
        cache.load("f", Reader())


def test_failure_in_read_leaves_nothing(folder: Path):
    def read() -> Raw:
        raise InputError("broken source")

    with pytest.raises(InputError, match="broken source"):
        cache.load("f", read)
    assert list(folder.rglob("*")) == []


def test_failure_in_write_leaves_no_draft(entry: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); set C2F_CACHE"):
        cache.load("f", Reader())
    assert list(entry.parent.iterdir()) == []


def test_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("C2F_CACHE", "")
    assert cache.folder().name == "c2f-benchmark"
