"""Training curves for TensorBoard: a run for each cell, with everything that history.csv has of its epochs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import InputError
from benchmark.launchers.base import Display
from benchmark.pretrain import Monitor
from benchmark.schema import Cell

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def check() -> None:
    """Raise InputError unless the library is installed."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise InputError(
            "--tensorboard needs the tensorboard library, which is not installed; "
            "pip install 'c2f-benchmark[tensorboard]'"
        ) from None


class Logged:
    """A display that also logs every epoch under `folder/TASK/BACKBONE/METHOD-SEED-KEY`.

    A cell that goes on from a checkpoint goes on in its run.
    """

    def __init__(self, display: Display, folder: Path) -> None:
        check()
        self.display, self.folder = display, folder
        self._curves: dict[str, _Curves] = {}

    def cell_started(self, cell: Cell) -> Monitor:
        """A cell begins; the monitor is told of its training. One whose worker was killed begins twice."""
        self._close(cell)
        name = f"{cell.method}-{cell.seed}-{cell.key}"
        place = self.folder / cell.task.name / cell.backbone / name
        self._curves[cell.key] = _Curves(self.display.cell_started(cell), place)
        return self._curves[cell.key]

    def cell_finished(self, cell: Cell, seconds: float, problem: str) -> None:
        """A cell is done, and its run closed; one that another launch ran has none."""
        self._close(cell)
        self.display.cell_finished(cell, seconds, problem)

    def _close(self, cell: Cell) -> None:
        if curves := self._curves.pop(cell.key, None):
            curves.close()


class _Curves:
    """A monitor that writes figures of epochs and hands everything on."""

    def __init__(self, monitor: Monitor, place: Path) -> None:
        self.monitor, self.place = monitor, place
        self._writer: SummaryWriter | None = None

    def begin(self, images: int) -> None:
        """Hand on."""
        self.monitor.begin(images)

    def step(self, images: int) -> None:
        """Hand on."""
        self.monitor.step(images)

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        """Write a record as scalars at its epoch, at once, so that a kill loses none."""
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is None:
            self._writer = SummaryWriter(self.place)
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(record["epoch"]))
        self._writer.flush()
        self.monitor.epoch(record, epochs)

    def close(self) -> None:
        """Close the run, if it has begun."""
        if self._writer is not None:
            self._writer.close()
