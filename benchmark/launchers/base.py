"""What every launcher keeps to: cells go in, rows come out on disk, and nothing but endings comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from benchmark import checkpoint
from benchmark.data import Decoded
from benchmark.pretrain import Monitor
from benchmark.schema import Cell

POLL_SECONDS = 1.0  # between two looks at cells that another launch is at work on
TRIES = 2  # of a cell whose process is killed


@dataclass(frozen=True)
class Setting:
    """What is the same for all cells of a launch; small and plain, so that it travels to any process.

    Attributes:
        results: the folder of the rows.
        device: `cpu`, `cuda` or `cuda:i`.
        keep_features: whether features are kept beside the rows.
        checkpoint_minutes: between two checkpoints of a training; 0: only when it is stopped.
        plugins: files of methods of one's own.
        again: keys of cells that have failed before and are run all the same.
    """

    results: Path
    device: str
    keep_features: bool = False
    checkpoint_minutes: float = checkpoint.MINUTES
    plugins: tuple[Path, ...] = ()
    again: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ending:
    """How an attempt at a cell ended: `busy` where another launch is at work on it."""

    state: Literal["done", "failed", "busy"]
    seconds: float = 0.0
    problem: str = ""


@dataclass
class Outcome:
    """What became of the cells that were run."""

    done: int = 0
    failed: int = 0

    def add(self, ending: Ending) -> None:
        """Count a cell that has ended."""
        self.done += ending.state == "done"
        self.failed += ending.state == "failed"


class Display(Protocol):
    """Something that shows the progress of a sweep."""

    def cell_started(self, cell: Cell) -> Monitor:
        """A cell begins; the monitor is told of its training."""

    def cell_finished(self, cell: Cell, seconds: float, problem: str) -> None:
        """A cell is done; `problem` is empty unless it failed. One that another launch ran was not started here."""


class Launcher(Protocol):
    """A way to run cells. A cell writes its own row, so a launcher holds no result and may die at any time."""

    where: str  # the cells run, in words

    def submit(self, cells: Sequence[Cell], images: Mapping[str, Decoded]) -> None:
        """Take cells on.

        Args:
            cells: what to run.
            images: of their tasks, by name.
        """

    def watch(self, display: Display) -> Outcome:
        """Return when every cell that was taken on has a row or has failed.

        Raises:
            InputError: if the output folder cannot be written any more.
            Stop: on SIGTERM or SIGUSR1.
        """

    def cancel(self) -> None:
        """Stop what runs, which keeps its state, and forget what waits; when it returns, nothing runs."""


def log_of(results: Path, cell: Cell) -> Path:
    """The file of what the process of a cell prints; removed if that is nothing."""
    return results / "logs" / f"{cell.key}.log"
