"""The parts of a step: all of them, in order, and the step is what it is without the notes."""

import itertools

import pytest
import torch

from benchmark import speed, speed_parts
from benchmark.speed import Setting

SETTING = Setting("resnet18-thin", 16, 8, "fp32", torch.device("cpu"))


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(speed, "IMAGES", 32)


def test_every_part_lasts_from_one_note_to_the_next(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(speed_parts.time, "perf_counter", lambda: next(ticks))  # a note takes one tick
    parts = speed_parts.measure(SETTING, ["mixup"])
    assert [part.method for part in parts] == ["baseline"] * 8 + ["mixup"] * 8
    assert [part.name for part in parts[:8]] == list(speed_parts.PARTS.values())
    ticks_of = {part.name: part.milliseconds / 1e3 for part in parts[:8]}
    assert ticks_of.pop("schedule, bookkeeping") == 2  # before the first note and after the last
    assert set(ticks_of.values()) == {1}
    assert sum(part.share for part in parts[:8]) == pytest.approx(1)
    assert all(part.host_milliseconds == part.milliseconds for part in parts)  # a CPU is its own host


def test_a_noted_step_is_the_step():
    plain, noted = (speed.trainers_of(SETTING, ["mixup"])["mixup"] for _ in range(2))
    clock = speed_parts._Clock(lambda: None)
    steps = speed.full_step(plain), speed.full_step(speed_parts._noted(noted, clock))
    for _ in range(3):
        torch.testing.assert_close(*(step() for step in steps), rtol=0, atol=0)
    for one, other in zip(plain.network.parameters(), noted.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
