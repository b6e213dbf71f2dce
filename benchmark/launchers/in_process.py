"""Cells one after the other, in this process."""

import time
from collections import deque
from collections.abc import Mapping, Sequence

from benchmark.checkpoint import Signals
from benchmark.data import Decoded
from benchmark.launchers.base import POLL_SECONDS, Display, Outcome, Setting
from benchmark.launchers.work import Bench
from benchmark.schema import Cell


class InProcess:
    """The launcher without any other process."""

    def __init__(self, setting: Setting) -> None:
        self.signals = Signals()
        self.bench = Bench(setting, self.signals)
        self.where = f"on {setting.device}"
        self.waiting: deque[Cell] = deque()
        self.images: Mapping[str, Decoded] = {}

    def submit(self, cells: Sequence[Cell], images: Mapping[str, Decoded]) -> None:
        """Take cells on."""
        self.bench.tidy()
        self.waiting.extend(cells)
        self.images = images

    def watch(self, display: Display) -> Outcome:
        """Run them in order; those that another launch is at work on come last."""
        with self.signals:
            return self._watch(display)

    def _watch(self, display: Display) -> Outcome:
        outcome, put_off = Outcome(), 0
        while self.waiting:
            self.signals.raise_if_noted()
            cell = self.waiting.popleft()
            images = self.images[cell.task.name]
            ending = self.bench.attempt(cell, images, lambda cell=cell: display.cell_started(cell))  # type: ignore[misc]
            if ending.state == "busy":
                self.waiting.append(cell)
                put_off += 1
                if put_off >= len(self.waiting):
                    time.sleep(POLL_SECONDS)
                continue
            put_off = 0
            outcome.add(ending)
            display.cell_finished(cell, ending.seconds, ending.problem)
        return outcome

    def cancel(self) -> None:
        """Nothing runs once `watch` is left."""
        self.waiting.clear()
