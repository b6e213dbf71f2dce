"""How close the training loop comes to its floor: the bare step of the backbone on one ready batch.

Whatever else is timed beside the steps (see `speed_around`) is compared with the floor by the image.
"""

import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
import torch.nn.functional as F

from benchmark import backbones, pretrain, registry, speed_memory
from benchmark.backbones import Network
from benchmark.errors import InputError
from benchmark.methods.base import Method, Progress
from benchmark.pretrain import Streams, Trainer
from benchmark.schema import CoarseSplit, Recipe

CLASSES = 20
IMAGES = 4096  # resident images the full step draws from
SECONDS = 1.0  # of each measurement, at least
MIN_STEPS = 3


@dataclass(frozen=True)
class Setting:
    """What is measured, and where."""

    backbone: str
    image_size: int
    batch_size: int
    precision: str
    device: torch.device


@dataclass(frozen=True)
class Work:
    """Something that is timed."""

    run: Callable[[], object]
    images: int  # that one run handles


class Watch(Protocol):
    """Something that shows the progress of the measurements."""

    def begin(self, images: int) -> None:
        """So many measurements will be made."""

    def step(self, images: int) -> None:
        """So many are done."""


@dataclass(frozen=True)
class Line:
    """A measured step, or what stands beside the steps; ratios are of seconds per image."""

    name: str
    milliseconds: float  # of a run, median over rounds
    images_per_second: float
    to_bare: float  # over the bare step
    to_baseline: float  # over the baseline's steps right before and after it, median over rounds
    quartiles: tuple[float, float]  # of that ratio over rounds: how far its median can be trusted
    memory_mb: float = math.nan  # most that a run takes beyond what is in use, MiB; NaN where this system does not tell


def describe(setting: Setting) -> str:
    """The setting in one line."""
    dtype = pretrain.autocast_dtype(setting.precision, setting.device)
    return (
        f"{setting.backbone}, {setting.image_size} px, batch {setting.batch_size}, "
        f"{'bf16' if dtype else 'fp32'}, channels_last, {setting.device}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )


def measure(
    setting: Setting,
    methods: Sequence[str],
    rounds: int,
    watch: Watch,
    beside: Mapping[str, Work] = MappingProxyType({}),
) -> list[Line]:
    """Time the baseline's step and, between any two of its timings, the bare step, a method's full step or other work.

    A step is compared with the mean of its two neighbours, so that a machine whose speed drifts slows both sides alike.

    Args:
        setting: backbone, batch, precision, device.
        methods: names, taken with default parameters; `all` for every method that can train the backbone.
        rounds: how often each step is timed.
        watch: told of every measurement.
        beside: further work by name, timed after the methods.

    Raises:
        InputError: for unknown names, a backbone that does not take the images, or a method that cannot train it.
    """
    trainers = trainers_of(setting, methods)
    steps = {name: Work(full_step(trainer), setting.batch_size) for name, trainer in trainers.items()}
    baseline = steps.pop("baseline")
    bare = _bare(_trainer(setting, registry.method("baseline", {}), network_of(setting)))
    works = {"bare step": Work(bare, setting.batch_size), **steps, **beside}
    memory = {name: _settled(work, setting.device) for name, work in [("baseline", baseline), *works.items()]}
    count = max(MIN_STEPS, int(SECONDS / _seconds(baseline, MIN_STEPS, setting.device)))
    counts = dict.fromkeys(works, count) | {name: _count(work, setting.device) for name, work in beside.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    references = [_seconds(baseline, count, setting.device)]
    watch.begin(rounds * len(works))
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(_seconds(work, counts[name], setting.device))
            references.append(_seconds(baseline, count, setting.device))
            watch.step(1)
    lines = _lines(times, references, setting.batch_size, {name: work.images for name, work in beside.items()})
    return [dataclasses.replace(line, memory_mb=memory[line.name]) for line in lines]


def _settled(work: Work, device: torch.device) -> float:
    """Run twice; the memory of the second time, when nothing is loaded or compiled any more."""
    work.run()
    return speed_memory.taken(work.run, device)


def _count(work: Work, device: torch.device) -> int:
    """How often it is run in one timing."""
    return max(1, int(SECONDS / _seconds(work, 1, device)))


def _lines(
    times: Mapping[str, Sequence[float]],
    references: Sequence[float],
    batch_size: int,
    images: Mapping[str, int] = MappingProxyType({}),
) -> list[Line]:
    """Of the bare step, the baseline and the rest.

    Args:
        times: of each step, seconds, one a round; the steps took turns in this order.
        references: the baseline's, one before the first step and one after every step.
        batch_size: images in a step.
        images: in a run of what is no step.
    """
    handled = {name: images.get(name, batch_size) for name in times}
    neighbours = [statistics.mean(pair) / batch_size for pair in itertools.pairwise(references)]
    ratios = {
        name: [own / handled[name] / other for own, other in zip(taken, neighbours[i :: len(times)], strict=True)]
        for i, (name, taken) in enumerate(times.items())
    }
    bare = statistics.median(ratios["bare step"])
    first, *others = (_line(name, times[name], ratios[name], bare, handled[name]) for name in times)
    return [first, _line("baseline", references, [1.0], bare, batch_size), *others]


def _line(name: str, seconds: Sequence[float], ratios: Sequence[float], bare: float, images: int) -> Line:
    median, ratio = statistics.median(seconds), statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, method="inclusive") if len(ratios) > 1 else (ratio, ratio, ratio)
    return Line(name, median * 1e3, images / median, ratio / bare, ratio, (low, high))


def trainers_of(setting: Setting, methods: Sequence[str]) -> dict[str, Trainer]:
    """Ready to train on made-up images: the baseline first, then the methods asked for.

    Raises:
        InputError: as `measure`.
    """
    every = list(methods) == ["all"]
    found = {}
    for name in dict.fromkeys(["baseline", *(registry.methods() if every else methods)]):
        method, network = registry.method(name, {}), network_of(setting)
        try:
            method.check(network)
        except InputError as error:
            if every:
                continue
            raise InputError(f"{name} cannot train {setting.backbone}: {error}") from None
        found[name] = _trainer(setting, method, network)
    return found


def _seconds(work: Work, count: int, device: torch.device) -> float:
    """Of one run."""
    wait(device)
    started = time.perf_counter()
    for _ in range(count):
        work.run()
    wait(device)
    return (time.perf_counter() - started) / count


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def network_of(setting: Setting) -> Network:
    """Freshly initialised, in training mode."""
    return backbones.build(setting.backbone, {}, CLASSES, 3, setting.image_size, seed=0).train()


def _trainer(setting: Setting, method: Method, network: Network) -> Trainer:
    generator = torch.Generator().manual_seed(0)
    shape = (IMAGES, 3, setting.image_size, setting.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, CLASSES, (IMAGES,), generator=generator)
    values = {"name": "speed", "title": "", "epochs": 1, "lr": 0.01, "batch_size": setting.batch_size}
    recipe = registry.validate(Recipe, {**values, "precision": setting.precision}, "speed")
    order, crops, mix = (torch.Generator().manual_seed(i) for i in range(3))
    streams = Streams(order, crops, mix, dropout=0)
    return pretrain.prepare(network, method, recipe, CoarseSplit(images, labels), streams, setting.device)


def _bare(trainer: Trainer) -> Callable[[], object]:
    """Forward, cross-entropy, backward and optimiser on one ready batch."""
    size = trainer.recipe.batch_size
    images = torch.rand(size, *trainer.train.images.shape[1:], device=trainer.device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = trainer.train.labels[:size]

    def step() -> None:
        with torch.autocast(trainer.device.type, trainer.autocast, enabled=trainer.autocast is not None):
            loss = F.cross_entropy(trainer.network(images), labels)
        loss.backward()
        trainer.optimizer.step()
        trainer.optimizer.zero_grad(set_to_none=True)

    return step


def full_step(trainer: Trainer) -> Callable[[], object]:
    """The training loop's own step: batch, crop, flip, normalise, method, optimiser, schedule."""
    progress = Progress(epoch=0, fraction=0.5, train_acc=0.5, class_counts=trainer.class_counts)
    indices = torch.arange(IMAGES, device=trainer.device).split(trainer.recipe.batch_size)
    position = iter(range(10**9))
    return lambda: pretrain.train_step(trainer, indices[next(position) % (len(indices) - 1)], progress)
