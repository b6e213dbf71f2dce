"""Where the time of a training step goes, part by part: gather, crop, forward, backward, optimiser.

The step itself is left as it is. It is given images, a method and an optimiser that note the time when the step comes
to them, and pass everything on; a part is what lies between two such notes.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from benchmark.pretrain import Trainer
from benchmark.speed import MIN_STEPS, Setting, full_step, trainers_of, wait

PARTS = {
    "gather": "gather",
    "crop": "transfer, crop, flip",
    "views": "views of the method",
    "normalise": "normalise",
    "forward": "forward and loss",
    "backward": "backward",
    "update": "optimiser",
    "rest": "schedule, bookkeeping",
}
STEPS = 10


@dataclass(frozen=True)
class Part:
    """A stretch of a step.

    Attributes:
        method: whose step.
        name: a value of PARTS.
        milliseconds: from start to end, the device having finished; median over steps.
        host_milliseconds: until the host is done with it and goes on, the device still working; the same on a CPU.
        share: of the step's milliseconds, in [0, 1].
    """

    method: str
    name: str
    milliseconds: float
    host_milliseconds: float
    share: float


@dataclass
class _Clock:
    """Seconds per part of one step."""

    pause: Callable[[], None]  # before every note
    seconds: dict[str, float] = field(default_factory=dict)
    part: str = ""
    since: float = 0.0

    def enter(self, part: str) -> None:
        """One part ends, the next begins; none: the step is over."""
        self.pause()
        now = time.perf_counter()
        if self.part:
            self.seconds[self.part] = self.seconds.get(self.part, 0.0) + now - self.since
        self.part, self.since = part, now


class _Noted:
    """Stands for an object, and notes when one of its methods is entered and left."""

    def __init__(self, original: object, clock: _Clock, parts: dict[str, tuple[str, str]]) -> None:
        self._original, self._clock, self._parts = original, clock, parts

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._original, name)
        if name not in self._parts:
            return found
        during, after = self._parts[name]

        def called(*args: Any, **kwargs: Any) -> Any:
            self._clock.enter(during)
            result = found(*args, **kwargs)
            self._clock.enter(after)
            return result

        return called

    def __getitem__(self, at: Any) -> Any:
        return self.__getattr__("__getitem__")(at)


def measure(setting: Setting, methods: Sequence[str]) -> list[Part]:
    """The parts of the baseline's step and of each method's.

    Args:
        setting: as for `speed.measure`.
        methods: names, or `all`.

    Raises:
        InputError: as `speed.measure`.
    """
    found: list[Part] = []
    for name, trainer in trainers_of(setting, methods).items():
        waiting = _seconds(trainer, lambda: wait(setting.device))
        host = waiting if setting.device.type == "cpu" else _seconds(trainer, lambda: None)
        total = sum(waiting.values())
        found += [
            Part(name, PARTS[part], 1e3 * seconds, 1e3 * host[part], seconds / total)
            for part, seconds in waiting.items()
        ]
    return found


def _seconds(trainer: Trainer, pause: Callable[[], None]) -> dict[str, float]:
    """Median over steps of each part's seconds, in the order of PARTS."""
    clock = _Clock(pause)
    step = full_step(_noted(trainer, clock))
    taken: list[dict[str, float]] = []
    for _ in range(MIN_STEPS + STEPS):
        clock.seconds = {}
        clock.enter("rest")
        step()
        clock.enter("")
        taken.append(clock.seconds)
        wait(trainer.device)
    settled = taken[MIN_STEPS:]
    return {part: statistics.median(step[part] for step in settled) for part in PARTS if part in settled[0]}


def _noted(trainer: Trainer, clock: _Clock) -> Trainer:
    images = _Noted(trainer.train.images, clock, {"__getitem__": ("gather", "crop")})
    method = _Noted(trainer.method, clock, {"views": ("views", "normalise"), "loss": ("forward", "backward")})
    optimizer = _Noted(trainer.optimizer, clock, {"step": ("update", "rest")})
    return dataclasses.replace(
        trainer,
        train=dataclasses.replace(trainer.train, images=cast(torch.Tensor, images)),
        method=cast(Any, method),
        optimizer=cast(torch.optim.Optimizer, optimizer),
    )
