"""A training run in the middle: written every few minutes and when told to stop, and read back bit by bit.

`checkpoints/<key>.<phase>.<steps>.safetensors` holds every tensor, the rest as JSON, and the SHA-256 of both, without
pickle. A file is drafted, flushed and renamed, so it is whole or absent; the one before it stays beside it, and serves
where the newest turns out damaged. Once a cell has its row, its checkpoints go.
"""

import contextlib
import hashlib
import json
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmark.errors import InputError

MINUTES = 10.0  # between two checkpoints, unless asked otherwise
KEPT = 2  # generations of a phase: the newest, and the one before it
log = logging.getLogger(__name__)


class Stop(BaseException):
    """A signal asked for an end; all that was worth keeping is on disk.

    As KeyboardInterrupt it is no failure of a cell, and no `except Exception` takes it for one.
    """


class Signals:
    """SIGTERM and SIGUSR1 are noted while this context lasts, so that work ends between two steps.

    Outside the main thread, where Python lets nobody handle signals, nothing is ever noted.
    """

    def __init__(self) -> None:
        self.noted = ""  # name of the first signal that came
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
            self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted = self.noted or signal.Signals(number).name

    def raise_if_noted(self) -> None:
        """Raise Stop if a signal has come."""
        if self.noted:
            raise Stop(self.noted)


@dataclass(frozen=True)
class State:
    """What a phase of training needs to go on: tensors by name, and values that JSON holds exactly."""

    steps: int  # done since the phase began
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


class Keeper(Protocol):
    """Where the training loop leaves its state, and finds it again."""

    earlier_seconds: float  # that other processes have spent on what was recalled

    def recall(self) -> State | None:
        """The state to go on from; None: start anew."""

    def due(self) -> bool:
        """Whether to keep the state now; asked after every step."""

    def keep(self, state: State) -> None:
        """Keep a state.

        Raises:
            Stop: once it is kept, if a signal asked for an end.
        """


class Unkept:
    """A keeper that keeps nothing."""

    earlier_seconds = 0.0

    def recall(self) -> State | None:
        """Nothing was kept."""
        return None

    def due(self) -> bool:
        """Never."""
        return False

    def keep(self, state: State) -> None:
        """Ignore."""


class Checkpoints:
    """The checkpoints of one phase of a cell's training in a folder.

    Args:
        folder: of all checkpoints; made when there is one to write.
        name: of the phase's files, `<key>.<phase>`.
        minutes: between two checkpoints; 0: only when a signal asks for an end.
        signals: which may ask for one.
        circumstances: what must be as it was, e.g. the version of torch, for a state to be of use.
    """

    def __init__(
        self, folder: Path, name: str, minutes: float, signals: Signals, circumstances: Mapping[str, str]
    ) -> None:
        self.folder, self.name, self.minutes, self.signals = folder, name, minutes, signals
        self.circumstances = dict(circumstances)
        self.earlier_seconds = 0.0
        self.began = self.last = time.monotonic()

    def due(self) -> bool:
        """Whether the minutes are over, or a signal has come."""
        return bool(self.signals.noted) or 0 < self.minutes * 60 <= time.monotonic() - self.last

    def keep(self, state: State) -> None:
        """Write a state and remove all but the KEPT newest; a disk that takes none is told of in a line, no more.

        Raises:
            Stop: if a signal asked for an end.
        """
        values = {
            **state.values,
            "circumstances": self.circumstances,
            "name": self.name,
            "seconds": self.earlier_seconds + time.monotonic() - self.began,
        }
        path = self.folder / f"{self.name}.{state.steps:012d}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(path, encode(State(state.steps, state.tensors, values)))
            for old in self._files()[KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: no checkpoint could be written (%s); training goes on without", path, error.strerror)
        self.last = time.monotonic()
        self.signals.raise_if_noted()

    def recall(self) -> State | None:
        """The newest state that is whole and made under the same circumstances; others are named and removed."""
        for path in self._files():
            try:
                state = decode(path.read_bytes())
                self._check(state)
            except (OSError, InputError) as error:
                log.warning("%s: %s; the cell goes on from an earlier one, or anew", path, error)
                with contextlib.suppress(OSError):
                    path.unlink()
            else:
                self.earlier_seconds = float(state.values["seconds"])
                return state
        return None

    def _check(self, state: State) -> None:
        values = state.values
        if values.get("name") != self.name:
            raise InputError(f"expected the state of {self.name}, found that of {values.get('name')}")
        if values.get("circumstances") != self.circumstances:
            made, here = (
                ", ".join(f"{k} {v}" for k, v in what.items()) for what in (values["circumstances"], self.circumstances)
            )
            raise InputError(f"made with {made}, this is {here}: it would not go on exactly")

    def _files(self) -> list[Path]:
        """Whole files of the phase, newest first."""
        return sorted(self.folder.glob(f"{self.name}.*.safetensors"), reverse=True)


@dataclass(frozen=True)
class Desk:
    """Where the cells of a sweep keep their checkpoints, and when; the arguments of `Checkpoints`."""

    folder: Path
    minutes: float
    signals: Signals

    def keeper(self, key: str, phase: str, circumstances: Mapping[str, str]) -> Checkpoints:
        """The keeper of one phase of a cell's training."""
        return Checkpoints(self.folder, f"{key}.{phase}", self.minutes, self.signals, circumstances)


def remove(folder: Path, key: str) -> None:
    """Remove every checkpoint of a cell, of all phases, and drafts that a kill has left."""
    for pattern in (f"{key}.*", f".{key}.*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def tidy(folder: Path, done: Callable[[str], bool]) -> None:
    """Remove the checkpoints of cells that are done: a kill between their row and this came first."""
    for key in {path.name.lstrip(".").partition(".")[0] for path in folder.glob("*")}:
        if done(key):
            remove(folder, key)


def encode(state: State) -> bytes:
    """A state as the bytes of a safetensors file whose metadata hold the values and the SHA-256 of it all."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.tensors.items()}
    text = json.dumps({**state.values, "steps": state.steps})
    return save(tensors, {"values": text, "digest": _digest(tensors, text)})


def decode(content: bytes) -> State:
    """A state as it was encoded.

    Raises:
        InputError: if a single bit is not as it was.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        text, expected = metadata["values"], metadata["digest"]
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"not a whole checkpoint ({' '.join(str(error).split())})") from None
    if _digest(tensors, text) != expected:
        raise InputError("not a whole checkpoint (its SHA-256 differs)")
    values = json.loads(text)
    return State(values["steps"], tensors, values)


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a draft beside it, flushed to disk, then renamed."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
