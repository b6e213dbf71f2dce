"""What stands around the step: everything that is timed does what it is named after."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import speed_around
from benchmark.errors import InputError
from benchmark.speed import Setting

SETTING = Setting("resnet18-thin", 16, 8, "fp32", torch.device("cpu"))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("benchmark.speed.IMAGES", 32)
    for name, size in {"FILES": 6, "EXTRACTED": 10, "TRAIN": 400, "VAL": 200, "TEST": 200}.items():
        monkeypatch.setattr(speed_around, name, size)
    monkeypatch.setattr("benchmark.probes.episodes.EPISODES", 2)
    monkeypatch.setattr("benchmark.scorer.REPLICATES", 2)


def test_everything_runs_and_handles_so_many_images(small, monkeypatch):
    written = []
    monkeypatch.setattr(speed_around.cache, "load", lambda name, read, root: written.append((read(), root)))
    with speed_around.works(SETTING) as works:
        results = {name: work.run() for name, work in works.items()}
        assert {name: work.images for name, work in works.items()} == {
            **dict.fromkeys(["batch: gather", "batch: ready", "batch: mapped file"], 8),
            **dict.fromkeys(["decode: Pillow alone", "decode: to cache"], 6),
            "extract features": 10,
            "probe: linear": 400,
            **dict.fromkeys(["probe: k-NN", "probe: NCM", "probe: few-shot", "probe: retrieval"], 200),
            **dict.fromkeys(["probe: clustering", "collapse metrics", "all of scoring"], 200),
        }
        ((raw, root),) = written
        assert np.stack(list(raw.parts["train"].images)).shape == (6, 3, 16, 16)
    assert not root.parent.exists()
    assert results["batch: gather"].dtype == torch.uint8 and results["batch: gather"].shape == (8, 3, 16, 16)
    for name in ("batch: ready", "batch: mapped file"):
        assert results[name].dtype == torch.float32 and results[name].shape == (8, 3, 16, 16)
        assert results[name].mean().abs() < 0.3
    assert results["extract features"].shape == (10, 128)
    assert results["probe: k-NN"].shape == results["probe: NCM"].shape == (200,)
    assert results["probe: NCM"].eq(torch.arange(200) % 100).double().mean() > 0.2  # far above chance
    json.dumps(results["collapse metrics"])


def test_pictures_are_taken_from_all_over_the_folder(small, tmp_path):
    for i in range(13):
        (tmp_path / f"class{i // 5}").mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / f"class{i // 5}" / f"{i:02}.png")
    (tmp_path / "notes.txt").write_text("no image")
    found = speed_around._found(tmp_path)
    assert [path.stem for path in found] == ["00", "03", "06", "09", "12"]


def test_a_folder_without_pictures_is_refused(small, tmp_path):
    with (
        pytest.raises(InputError, match=r"--pictures .*: no image files there; name"),
        speed_around.works(SETTING, tmp_path),
    ):
        pass


def test_a_picture_that_pillow_cannot_read_is_told(small, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="has died; replace"), speed_around._decoders([path]):
        pass
