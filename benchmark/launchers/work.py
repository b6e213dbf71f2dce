"""One attempt at a cell: what every launcher does in the end, on whatever machine."""

import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from benchmark import checkpoint
from benchmark.cell import Shelf, run_cell
from benchmark.checkpoint import Desk, Signals
from benchmark.claims import Claims
from benchmark.data import Decoded
from benchmark.launchers.base import Ending, Setting
from benchmark.pretrain import Monitor
from benchmark.schema import Cell
from benchmark.store import FailureKind, Store


class Tracker:
    """Tells a monitor of training, and remembers how far it is, for the heartbeat of the claim."""

    def __init__(self) -> None:
        self.monitor: Monitor | None = None
        self.began = 0.0
        self.images = self.total = self.epoch_number = self.epochs = 0

    def progress(self) -> Mapping[str, float]:
        """What goes into the claim; nothing before training."""
        if not self.total:
            return {}
        return {
            "images": self.images,
            "total": self.total,
            "epoch": self.epoch_number,
            "epochs": self.epochs,
            "seconds": time.monotonic() - self.began,
        }

    def begin(self, images: int) -> None:
        """Training starts."""
        self.began, self.images, self.total = time.monotonic(), 0, images
        if self.monitor:
            self.monitor.begin(images)

    def step(self, images: int) -> None:
        """A batch is done."""
        self.images += images
        if self.monitor:
            self.monitor.step(images)

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        """An epoch is done."""
        self.epoch_number, self.epochs = int(record["epoch"]) + 1, epochs
        if self.monitor:
            self.monitor.epoch(record, epochs)


class Bench:
    """Where cells are run in this process: a results folder, a device, and what was asked for."""

    def __init__(self, setting: Setting, signals: Signals | None = None) -> None:
        """Nothing is touched yet.

        Args:
            setting: what was asked for.
            signals: which end a training, once its state is kept; none: nothing is heard here.
        """
        self.setting = setting
        self.store = Store(setting.results)
        self.claims = Claims(setting.results)
        self.device = torch.device(setting.device)
        self.shelf = Shelf(self.store.features, setting.keep_features)
        self.desk = Desk(self.store.checkpoints, setting.checkpoint_minutes, signals or Signals())

    def attempt(self, cell: Cell, decoded: Decoded, start: Callable[[], Monitor], log: Path | None = None) -> Ending:
        """Run a cell and publish its row, or record its failure, unless that was done or is being done elsewhere.

        A cell whose features lie in the store is only scored; training goes on from its last checkpoint.

        Args:
            cell: what to run.
            decoded: the images of its task.
            start: called when the cell is ours and begins; gives what is told of its training.
            log: the file of what the process prints, for the record of a failure.

        Raises:
            InputError: if the output folder cannot be written any more.
            Stop: if a signal came while the network was trained; its state is kept.
        """
        claim = self.claims.take(cell)
        if claim is None:
            return Ending("busy")
        tracker, started = Tracker(), time.perf_counter()
        with claim.kept(tracker.progress):
            if (settled := self.settled(cell)) is not None:
                return settled
            tracker.monitor = start()
            try:
                row, predictions = run_cell(cell, decoded, self.device, tracker, self.shelf, self.desk)
            except Exception as error:
                problem, seconds = f"{type(error).__name__}: {error}", time.perf_counter() - started
                self.store.fail(cell, problem, traceback.format_exc(), seconds, kind_of(error), log)
                return Ending("failed", seconds, problem)
            self.store.publish(row, predictions)
            checkpoint.remove(self.store.checkpoints, cell.key)
        return Ending("done", time.perf_counter() - started)

    def tidy(self) -> None:
        """Remove what launches that were killed have left of cells that are done."""
        checkpoint.tidy(self.store.checkpoints, self.store.has)
        self.claims.tidy()
        for log in (self.setting.results / "logs").glob("*.log"):
            if self.store.has(log.stem) and not log.stat().st_size:
                log.unlink(missing_ok=True)

    def settled(self, cell: Cell) -> Ending | None:
        """How the cell ended in another launch; None if it has not."""
        if self.store.has(cell.key):
            return Ending("done")
        if self.store.failed(cell.key) and cell.key not in self.setting.again:
            return Ending("failed", problem="in another launch")
        return None


def kind_of(error: Exception) -> FailureKind:
    """The class of a failure: what may help differs between them."""
    if isinstance(error, FloatingPointError):
        return "nan"
    text = str(error).lower()
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return "out_of_memory"
    return "exception"
