"""A sweep as lines of JSON, for programs that watch it: one object per event, with its time."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmark.claims import SHOWN
from benchmark.errors import InputError
from benchmark.launchers.base import Display
from benchmark.pretrain import Monitor
from benchmark.schema import Cell, cell_columns
from benchmark.store import finite


class Log:
    """Shows a sweep on another display, and appends to a file what happens.

    Every line has `time` (UTC) and `event`: `cell_started`, `training_started` with the images of all epochs, `epoch`
    with its line of history.csv, `cell_finished` with seconds and problem. All have the cell's key, `cell_started` its
    columns.
    """

    def __init__(self, path: Path, display: Display) -> None:
        """Open the file for appending.

        Raises:
            InputError: if it cannot be written.
        """
        self.display = display
        try:
            self.file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise InputError(f"--log-json {path} cannot be written ({error.strerror}); name another file") from error

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def tell(self, event: str, cell: Cell, what: Mapping[str, Any]) -> None:
        """Append a line."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = finite({"time": now, "event": event, "key": cell.key, **what})
        self.file.write(json.dumps(line, allow_nan=False) + "\n")

    def cell_started(self, cell: Cell) -> Monitor:
        """A cell begins."""
        columns = cell_columns(cell)
        self.tell("cell_started", cell, {name: columns[name] for name in SHOWN})
        return _Logged(self, cell, self.display.cell_started(cell))

    def cell_finished(self, cell: Cell, seconds: float, problem: str) -> None:
        """A cell is done."""
        self.tell("cell_finished", cell, {"seconds": seconds, "problem": problem})
        self.display.cell_finished(cell, seconds, problem)


class _Logged:
    """The monitor of one cell."""

    def __init__(self, log: Log, cell: Cell, monitor: Monitor) -> None:
        self.log, self.cell, self.monitor = log, cell, monitor

    def begin(self, images: int) -> None:
        self.log.tell("training_started", self.cell, {"images": images})
        self.monitor.begin(images)

    def step(self, images: int) -> None:
        self.monitor.step(images)

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        self.log.tell("epoch", self.cell, {"epochs": epochs, **record})
        self.monitor.epoch(record, epochs)
