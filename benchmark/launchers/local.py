"""Cells in worker processes of this machine: several at once, the threads or GPUs divided among them.

A worker runs cell after cell, so it imports and opens images once. One that is killed costs its cell one attempt. When
this process dies, however, its workers stop within moments.
"""

import multiprocessing
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

import torch

from benchmark.checkpoint import Signals
from benchmark.data import Decoded
from benchmark.errors import InputError
from benchmark.launchers.base import POLL_SECONDS, TRIES, Display, Ending, Outcome, Setting, log_of
from benchmark.launchers.work import Bench
from benchmark.launchers.worker import serve
from benchmark.pretrain import Monitor
from benchmark.schema import Cell

GRACE_SECONDS = 20.0  # that a worker has to stop by itself
PRELOADED = ["benchmark.launchers.worker", "timm", "sklearn.cluster", "sklearn.linear_model"]  # what every cell imports


@dataclass
class Hand:
    """A worker as its launcher sees it."""

    number: int
    process: BaseProcess
    connection: Connection
    ready: bool = False
    cell: Cell | None = None
    began: float = 0.0  # monotonic time at which it got the cell
    monitor: Monitor | None = None


class Local:
    """The launcher of worker processes."""

    def __init__(self, setting: Setting, workers: int) -> None:
        """Begin to start them.

        Args:
            setting: what is the same for all cells.
            workers: how many processes; each gets its share of this one's threads.
        """
        self.setting, self.workers = setting, workers
        self.bench = Bench(setting)
        self.where = f"on {setting.device} by {workers} workers"
        self.context = _context()
        self.threads = max(torch.get_num_threads() // workers, 1)
        self.hands: list[Hand] = []
        self.waiting: deque[Cell] = deque()
        self.images: Mapping[str, Decoded] = {}
        self.not_before: dict[str, float] = {}  # monotonic time at which a cell that was busy is tried again
        self.deaths: Counter[str] = Counter()

    def submit(self, cells: Sequence[Cell], images: Mapping[str, Decoded]) -> None:
        """Take cells on; starts no more workers than there are cells."""
        self.bench.tidy()
        self.waiting.extend(cells)
        self.images = images
        for number in range(min(self.workers, len(self.waiting))):
            self.hands.append(self._hire(number))

    def watch(self, display: Display) -> Outcome:
        """Hand out cells until all have ended; those that another launch is at work on come last."""
        outcome = Outcome()
        with Signals() as signals:
            while self.waiting or any(hand.cell for hand in self.hands):
                signals.raise_if_noted()
                self._assign()
                heard = wait([hand.connection for hand in self.hands], POLL_SECONDS)
                for hand in [hand for hand in self.hands if hand.connection in heard]:
                    self._hear(hand, display, outcome)
        self._dismiss(lambda hand: hand.connection.close())
        return outcome

    def cancel(self) -> None:
        """Ask every worker to keep its state and stop, and kill those that do not."""
        self.waiting.clear()
        self._dismiss(_stop)

    def _hire(self, number: int) -> Hand:
        ours, theirs = self.context.Pipe()
        setting = replace(self.setting, device=_device(self.setting.device, number))
        process = self.context.Process(target=serve, args=(theirs, setting, self.threads), name=f"c2f-worker-{number}")
        process.start()
        theirs.close()
        return Hand(number, process, ours)

    def _assign(self) -> None:
        for hand in self.hands:
            if hand.ready and not hand.cell and (cell := self._next()):
                hand.cell, hand.began = cell, time.monotonic()
                hand.connection.send((cell, self.images[cell.task.name].entry))

    def _next(self) -> Cell | None:
        for _ in range(len(self.waiting)):
            cell = self.waiting.popleft()
            if self.not_before.get(cell.key, 0.0) <= time.monotonic():
                return cell
            self.waiting.append(cell)
        return None

    def _hear(self, hand: Hand, display: Display, outcome: Outcome) -> None:
        """Take one message from a worker, or its death."""
        try:
            kind, *what = hand.connection.recv()
        except (EOFError, OSError):
            self._replace(hand, display, outcome)
            return
        if kind == "ready":
            hand.ready = True
        elif kind == "broken":
            raise InputError(what[0])
        elif kind == "started" and hand.cell:
            hand.monitor = display.cell_started(hand.cell)
        elif kind == "ended" and hand.cell:
            self._end(hand, what[0], display, outcome)
        elif hand.monitor:
            getattr(hand.monitor, kind)(*what)

    def _end(self, hand: Hand, ending: Ending, display: Display, outcome: Outcome) -> None:
        cell, hand.cell, hand.monitor = hand.cell, None, None
        if cell is None:
            return
        if ending.state == "busy":
            self.not_before[cell.key] = time.monotonic() + POLL_SECONDS
            self.waiting.append(cell)
            return
        outcome.add(ending)
        display.cell_finished(cell, ending.seconds, ending.problem)

    def _replace(self, hand: Hand, display: Display, outcome: Outcome) -> None:
        """A worker has died: its cell is run again, once, and another worker takes its place."""
        hand.process.join()
        manner = _manner(hand.process.exitcode)
        if not hand.ready:
            raise InputError(f"worker processes do not start ({manner}); --workers 1 shows why")
        cell = hand.cell
        if cell:
            self.deaths[cell.key] += 1
            ending = self.bench.settled(cell) or Ending("busy")
            if ending.state == "busy" and self.deaths[cell.key] >= TRIES:
                problem = f"killed: {TRIES} times its process {manner}"
                seconds = time.monotonic() - hand.began
                self.bench.store.fail(cell, problem, "", seconds, "killed", log_of(self.setting.results, cell))
                ending = Ending("failed", seconds, problem)
            self._end(hand, ending, display, outcome)
        hand.connection.close()
        self.hands[self.hands.index(hand)] = self._hire(hand.number)

    def _dismiss(self, how: Callable[[Hand], None]) -> None:
        for hand in self.hands:
            how(hand)
        until = time.monotonic() + GRACE_SECONDS
        for hand in self.hands:
            hand.process.join(max(until - time.monotonic(), 0.0))
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.connection.close()
        self.hands.clear()


def _context() -> ForkServerContext | SpawnContext:
    """Workers are forked from a server that has imported everything and computed nothing; else started afresh."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _device(name: str, number: int) -> str:
    """`cuda` is every GPU in turn; any other device is shared."""
    return f"cuda:{number % torch.cuda.device_count()}" if name == "cuda" else name


def _manner(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was ended by {name}" + (" (is memory short?)" if name == "SIGKILL" else "")
    return f"ended with exit code {code}"


def _stop(hand: Hand) -> None:
    """One that trains hears the signal, one that waits for a cell the end of its connection."""
    hand.process.terminate()
    hand.connection.close()
