"""How commands begin: measured in processes of their own."""

import pytest

from benchmark import speed_start
from benchmark.errors import InputError


class Watch:
    total = done = 0

    def begin(self, images):
        self.total = images

    def step(self, images):
        self.done += images


def test_the_program_and_lists_are_measured_by_turns(monkeypatch):
    times, watch = iter([9.0, 0.3, 0.1, 0.5, 0.2, 0.4]), Watch()
    called = []
    monkeypatch.setattr(speed_start, "LISTS", ("metrics",))
    monkeypatch.setattr(speed_start, "_seconds", lambda name, arguments: called.append(name) or next(times))
    lines = speed_start.measure(3, watch)
    assert called == ["import benchmark.cli", "c2f list metrics"] * 3
    assert [(line.what, line.value, line.limit) for line in lines] == [
        ("import benchmark.cli", 0.2, 0.5),
        ("c2f list metrics", 0.4, 1.0),
    ]
    assert watch.total == watch.done == 6


def test_a_real_process_takes_a_while_and_one_that_fails_is_told():
    assert speed_start._seconds("nothing", ["pass"]) > 0
    with pytest.raises(InputError, match="broken ended with code 1: ValueError: why; run it"):
        speed_start._seconds("broken", ["raise ValueError('why')"])
