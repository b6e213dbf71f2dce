"""Who is at work on which cell: a file per cell under `running/`, made by atomic link, kept fresh while work goes on.

No lock is held, so this works on network file systems, and a claim whose owner has died is simply taken over: at once
where the owner was a process of this machine, after STALE_SECONDS without a heartbeat elsewhere. Ages are differences
of times that the file system gave, so that no machine's clock matters. Should two owners meet all the same (one of them
was suspended for minutes), no harm is done: the first row stays.
"""

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.schema import Cell, cell_columns, digest
from benchmark.store import draft_of, encode, reporting, write_once

BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
SHOWN = ("task", "method", "method_params", "backbone", "recipe", "seed")  # of a cell, in its claim


@dataclass(frozen=True)
class Running:
    """A claim as others see it."""

    key: str
    cell: Mapping[str, Any]  # the columns SHOWN
    host: str
    pid: int
    seconds: float  # since the cell was begun
    silent: float  # seconds since the last heartbeat
    progress: Mapping[str, float]  # images, total, epoch, epochs, seconds of training so far; empty before training
    alive: bool


@dataclass(frozen=True)
class Claim:
    """A cell that is ours until it is released."""

    path: Path
    record: Mapping[str, Any]

    def beat(self, progress: Mapping[str, float]) -> bool:
        """Make the claim fresh, and tell how far the work is; False if it was taken from us.

        The file is altered in place: one that another owner has put there since carries another token and is left
        alone, and our own one that was renamed away is altered without harm.
        """
        try:
            with self.path.open("r+b") as file:
                if _parsed(file.read()).get("token") != self.record["token"]:
                    return False
                file.seek(0)
                file.write(encode({**self.record, "progress": dict(progress), "seconds": self._seconds()}))
                file.truncate()
        except OSError:  # a full disk, or a claim that is gone: the work itself is what matters
            return False
        return True

    def release(self) -> None:
        """Give the cell back, done or not."""
        if _read(self.path).get("token") == self.record["token"]:
            self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def kept(self, progress: Callable[[], Mapping[str, float]]) -> Iterator[None]:
        """Keeps the claim fresh in the background, and releases it at the end, whatever that is."""
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(BEAT_SECONDS):
                self.beat(progress())

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.release()

    def _seconds(self) -> float:
        return time.monotonic() - float(self.record["began"])


class Claims:
    """The claims of a results folder."""

    def __init__(self, results: Path) -> None:
        self.folder = results / "running"

    def take(self, cell: Cell) -> Claim | None:
        """The cell is ours, or it is another's (None).

        Raises:
            InputError: if the folder cannot be written.
        """
        path = self.folder / f"{cell.key}.json"
        with reporting(self.folder.parent):
            self.folder.mkdir(exist_ok=True)
            record = {
                "token": uuid.uuid4().hex,
                "machine": machine(),
                "host": platform.node(),
                "pid": os.getpid(),
                "process": _birth(os.getpid()),
                "began": time.monotonic(),
                "seconds": 0.0,
                "cell": {name: value for name, value in cell_columns(cell).items() if name in SHOWN},
                "progress": {},
            }
            if path.exists():
                self._inherit(path, encode(record))
            else:
                write_once(path, encode(record))
        return Claim(path, record) if _read(path).get("token") == record["token"] else None

    def held(self, key: str) -> bool:
        """Whether somebody who is alive is at work on a cell."""
        path = self.folder / f"{key}.json"
        return path.exists() and self._alive(path, _read(path), self._now())

    def running(self) -> list[Running]:
        """Every claim, by key; a folder that cannot be written is judged by this machine's clock."""
        if not self.folder.is_dir():
            return []
        now = self._now()
        return [found for path in sorted(self.folder.glob("*.json")) if (found := self._seen(path, now))]

    def tidy(self) -> None:
        """Remove the claims of owners that are gone."""
        for path in self.folder.glob("*.json"):
            with self._heir(path) as ours:
                if ours:
                    path.unlink(missing_ok=True)

    def _seen(self, path: Path, now: float) -> Running | None:
        record = _read(path)
        try:
            silent = max(now - path.stat().st_mtime, 0.0)
            return Running(
                key=path.stem,
                cell={name: record["cell"][name] for name in SHOWN},
                host=str(record["host"]),
                pid=int(record["pid"]),
                seconds=float(record["seconds"]) + silent,
                silent=silent,
                progress={str(name): float(value) for name, value in record["progress"].items()},
                alive=self._alive(path, record, now),
            )
        except (OSError, KeyError, TypeError, ValueError, AttributeError):  # it ended meanwhile, or is not whole
            return None

    def _inherit(self, path: Path, content: bytes) -> None:
        """Put another claim in the place of one whose owner is gone; nothing if it lives."""
        with self._heir(path) as ours:
            if ours:
                draft = draft_of(path)
                draft.write_bytes(content)
                draft.replace(path)  # at no moment is there none, which a third one would take for a free cell

    @contextlib.contextmanager
    def _heir(self, path: Path) -> Iterator[bool]:
        """Whether a claim's owner is gone, and it is for us alone to put it away: only one can make the mark."""
        found, now = _read(path), self._now()
        mark = path.with_name(f".{path.stem}.{digest([found.get('token')])[:12]}.heir")
        if self._alive(path, found, now) or not _made(mark, now):
            yield False
            return
        try:
            yield path.exists() and _read(path).get("token") == found.get("token")  # nobody was faster
        finally:
            mark.unlink(missing_ok=True)

    def _alive(self, path: Path, record: Mapping[str, Any], now: float) -> bool:
        """Whether the owner lives: for certain where it is a process of this machine, else by its heartbeat."""
        if record.get("machine") == machine() and record.get("process"):
            return _birth(record.get("pid", 0)) == str(record["process"])
        try:
            return now - path.stat().st_mtime < STALE_SECONDS
        except OSError:
            return False

    def _now(self) -> float:
        """The time by the clock of the file system, which is what gives files theirs."""
        probe = draft_of(self.folder / "now")
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError:
            return time.time()
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)


def _made(mark: Path, now: float) -> bool:
    """Whether the mark is ours; that of an heir that died on the way goes, and the next look may make it."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):
            if now - mark.stat().st_mtime > STALE_SECONDS:
                mark.unlink()
        return False
    return True


@cache
def machine() -> str:
    """What sees the same processes: host, boot and process namespace; empty where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return digest([platform.node(), boot, str(Path("/proc/self/ns/pid").readlink())])
    except OSError:
        return ""


def _birth(pid: int) -> str:
    """When a process of this machine began, in the kernel's ticks: no later one of its number has the same.

    Empty if there is none, if it has ended and nobody has taken note yet, or where the system does not tell.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]


def _read(path: Path) -> dict[str, Any]:
    """A claim, or nothing where there is none that is whole."""
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return {}


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
