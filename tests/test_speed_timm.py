"""The comparison with timm's loop: the same pictures for both, and the arithmetic of the limits."""

import math

import pytest
import torch
from torchvision.datasets import ImageFolder

from benchmark import speed_timm


def test_limits_are_of_seconds_per_image():
    seconds = {("of_timm", "fp32"): 1 / 2000, ("of_ours", "fp32"): 1 / 4000}
    seconds |= {("of_timm", "bf16"): 1 / 2500, ("of_ours", "bf16"): 1 / 4800}
    *speeds, same, mixed, bf16 = speed_timm._lines("CIFAR-100", seconds)
    assert [line.value for line in speeds] == pytest.approx([2000, 4000, 2500, 4800])
    assert same.value == pytest.approx(0.5) and same.limit == pytest.approx(1 / 1.8) and not same.missed
    assert mixed.value == pytest.approx(2000 / 4800) and mixed.limit == pytest.approx(0.4) and mixed.missed
    assert bf16.value == pytest.approx(2500 / 4800) and math.isnan(bf16.limit)


def test_the_network_has_its_original_stem_at_a_quarter_of_the_width():
    network = speed_timm.network()
    stem = network.conv1
    assert (stem.kernel_size, stem.stride, stem.out_channels) == ((7, 7), (2, 2), 16)
    assert isinstance(network.maxpool, torch.nn.MaxPool2d)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, speed_timm.CLASSES)
    assert network.num_features == 128


def test_both_loops_train_on_the_pictures_written(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_timm, "IMAGES", 3 * speed_timm.BATCH)
    monkeypatch.setenv("C2F_CACHE", str(tmp_path / "cache"))  # a decoded set is found wherever its images were
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    assert speed_timm.write_pictures(pictures, tmp_path / "no data here") == "made-up pictures"
    written = ImageFolder(pictures)
    assert len(written) == 3 * speed_timm.BATCH and written[0][0].size == (32, 32)
    for loop in speed_timm.MEASUREMENTS:
        found = speed_timm.in_child(loop, {"folder": str(pictures), "precision": "fp32"}, "speed_timm")
        assert 0 < found["seconds"] < math.inf


def test_the_loops_take_turns_on_one_set_of_pictures(tmp_path, monkeypatch):
    taken = iter([5.0, 2.0, 4.0, 1.0, 3.0, 2.5, 6.0, 0.5])
    asked, steps = [], []
    monkeypatch.setattr(speed_timm, "write_pictures", lambda folder, root: f"of {root.name}")
    monkeypatch.setattr(
        speed_timm,
        "in_child",
        lambda *given: asked.append((given[0], given[1]["precision"])) or {"seconds": next(taken)},
    )
    watch = type("Watch", (), {"begin": steps.append, "step": steps.append})
    lines = speed_timm.measure(tmp_path, 2, watch)
    runs = [("of_timm", "fp32"), ("of_ours", "fp32"), ("of_timm", "bf16"), ("of_ours", "bf16")]
    assert asked == 2 * runs and steps == [8, *[1] * 8]
    assert [line.value for line in lines[:4]] == pytest.approx([1 / 3.0, 1 / 2.0, 1 / 4.0, 1 / 0.5])
    assert lines[0].what == f"timm's loop, fp32, of {tmp_path.name}"
    assert lines[4].value == pytest.approx(2.0 / 3.0) and lines[4].missed
