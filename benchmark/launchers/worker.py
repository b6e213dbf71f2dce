"""A worker process: it gets cells through a connection, and answers with their progress and their endings."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from benchmark import data, registry
from benchmark.checkpoint import Signals, Stop
from benchmark.errors import InputError
from benchmark.launchers.base import Setting, log_of
from benchmark.launchers.work import Bench
from benchmark.schema import Cell

STOPPED = 75  # exit code of a worker that a signal has stopped
STEP_SECONDS = 0.1  # steps are told no more often than that
ORPHAN_SECONDS = 10.0  # after which a worker whose launcher is gone ends in the middle of what it does


def serve(connection: Connection, setting: Setting, threads: int) -> None:
    """Run cells until the connection closes.

    Args:
        connection: gives (cell, entry of its images in the cache). Gets tuples that begin with their kind: `ready`;
            `started`, `begin`, `step`, `epoch` with the arguments of a monitor; `ended` with an Ending; `broken` with
            why nothing can be written any more.
        setting: what is the same for all cells.
        threads: how many this process uses.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the launcher decides
    threading.Thread(target=_outlive_nobody, daemon=True).start()
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    for plugin in setting.plugins:
        registry.add_plugin(plugin)
    with Signals() as signals:
        try:
            _work(connection, Bench(setting, signals), signals)
        except Stop:
            sys.exit(STOPPED)


def _work(connection: Connection, bench: Bench, signals: Signals) -> None:
    teller = Teller(connection)
    teller.tell("ready")
    while True:
        signals.raise_if_noted()
        try:
            cell, entry = connection.recv()
        except EOFError:
            return
        _run(bench, cell, entry, teller)


class Teller:
    """The monitor of a cell that sends everything on; steps are gathered to spare the launcher."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.images, self.told = 0, 0.0

    def tell(self, kind: str, *what: Any) -> None:
        """Send a message; without a launcher, keep the state of training and stop."""
        try:
            self.connection.send((kind, *what))
        except OSError:
            os.kill(os.getpid(), signal.SIGTERM)

    def started(self) -> "Teller":
        """A cell begins."""
        self.images = 0
        self.tell("started")
        return self

    def begin(self, images: int) -> None:
        """Training starts."""
        self.tell("begin", images)

    def step(self, images: int) -> None:
        """A batch is done."""
        self.images += images
        if time.monotonic() - self.told > STEP_SECONDS:
            self._flush()

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        """An epoch is done."""
        self._flush()
        self.tell("epoch", dict(record), epochs)

    def _flush(self) -> None:
        self.tell("step", self.images)
        self.images, self.told = 0, time.monotonic()


def _run(bench: Bench, cell: Cell, entry: str, teller: Teller) -> None:
    log = log_of(bench.setting.results, cell)
    try:
        images = _opened(entry)
        with _logged(log):
            ending = bench.attempt(cell, images, teller.started, log)
    except InputError as error:
        teller.tell("broken", str(error))
    else:
        teller.tell("ended", ending)


_opened = cache(data.reopen)


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """What this process prints goes to a file, crashes of the interpreter included."""
    path.parent.mkdir(exist_ok=True)
    kept = os.dup(1), os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, before in enumerate(kept, start=1):
            os.dup2(before, number)
            os.close(before)
        with suppress(OSError):
            if not path.stat().st_size:
                path.unlink()


def _outlive_nobody() -> None:
    """End this process when its launcher has died."""
    launcher = multiprocessing.parent_process()
    if launcher is None:
        return
    wait([launcher.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)
