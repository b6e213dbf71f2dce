"""Memory of a piece of work: its own, whatever came before it."""

import math

import numpy as np
import pytest
import torch

from benchmark import speed_memory


@pytest.fixture(autouse=True)
def told_by_the_system():
    if math.isnan(speed_memory.resident("VmRSS")):
        pytest.skip("this system has no /proc")


def test_peak_memory_is_that_of_the_work_alone():
    speed_memory.forget_peak()  # gives back what other tests have left
    before = speed_memory.resident("VmRSS")
    taken = np.ones(25_000_000)  # 200 MB
    del taken
    speed_memory.forget_peak()
    assert speed_memory.resident("VmHWM") - before < 150e6
    taken = np.ones(25_000_000)
    del taken
    assert 150e6 < speed_memory.resident("VmHWM") - before < 300e6


def test_what_is_taken_is_told_each_time_anew():
    large, small = (lambda size=size: np.ones(size) for size in (25_000_000, 2_500_000))  # 200 and 20 MB
    cpu = torch.device("cpu")
    assert [round(speed_memory.taken(work, cpu), -1) for work in (large, small, large)] == [190, 20, 190]  # in MiB
    assert speed_memory.taken(lambda: None, cpu) < 10
