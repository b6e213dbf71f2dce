"""What a grid will cost before anything is trained: hours, memory, disk, what is done already and what cannot run."""

import dataclasses
import itertools
import math
import os
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from benchmark import backbones, data, pretrain, registry, sweep
from benchmark.cell import peak_memory_mb
from benchmark.checkpoint import KEPT
from benchmark.errors import InputError
from benchmark.methods.base import Progress
from benchmark.pretrain import MONITORED, Streams
from benchmark.probes import fine_tune
from benchmark.schema import Cell, CoarseSplit, Data, Recipe
from benchmark.store import Store
from benchmark.sweep import Grid

SECONDS = 0.5  # of steps that are timed, at least
STEPS = 3  # and so many at least
FORWARD = 1 / 3  # share of a step that a forward pass takes, where a backward one counts twice
ROW_BYTES = 160_000  # of a row of CIFAR-100's; smaller ones have fewer superclasses
PREDICTION_BYTES = 90  # of one test image
LITE_SEEDS = 3  # the fewest whose interval says something


class Watch(Protocol):
    """Something that shows the progress of the measurements."""

    def begin(self, images: int) -> None:
        """So many measurements will be made."""

    def step(self, images: int) -> None:
        """So many are done."""


@dataclass(frozen=True)
class Setting:
    """Where a grid is to run, and how its cost is found.

    Attributes:
        data_root: where the images are.
        datasets_dir: a further folder of hierarchies.
        device: where to measure.
        rate: images/s of every training; 0: a few steps of each are timed.
        keep_features: whether features are kept.
        allow_missing: whether classes without images may be dropped.
    """

    data_root: Path
    datasets_dir: Path | None
    device: torch.device
    rate: float = 0.0
    keep_features: bool = False
    allow_missing: bool = False


@dataclass(frozen=True)
class Line:
    """The cells of one task, backbone and method that are still to run."""

    task: str
    backbone: str
    method: str
    params: str  # the method's, as text
    cells: int
    images_per_second: float  # of training
    seconds: float  # a cell


@dataclass(frozen=True)
class Forecast:
    """What a grid will cost where it was asked for."""

    lines: tuple[Line, ...]
    done: int
    failed: int  # that only --retry-failed runs again
    problems: tuple[str, ...]  # what cannot run, and why
    score_seconds: float  # a cell, median of the rows that are there; part of the lines' seconds. NaN: nobody knows yet
    memory_mb: float  # most that a measurement took; NaN if none was made
    disk_bytes: float  # that rows, kept features and the checkpoints of one cell will take
    at_once: int  # cells that this machine has a GPU or a core for

    @property
    def cells(self) -> int:
        """That are still to run."""
        return sum(line.cells for line in self.lines)

    @property
    def seconds(self) -> float:
        """Of all of them, one after the other."""
        return sum(line.cells * line.seconds for line in self.lines)


@dataclass(frozen=True)
class _Job:
    """A cell that is to run, and the images it trains on."""

    cell: Cell
    recipe: Recipe
    images: Data

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Of the line it belongs to."""
        cell = self.cell
        return cell.task.name, cell.backbone, cell.method, str(sorted(cell.method_params.items()))

    @property
    def work(self) -> tuple[object, ...]:
        """Jobs that are equal here train at one speed."""
        return tuple(self.images.train.images.shape[1:]), *self.group[1:]

    def network(self) -> backbones.Network:
        """As it is before training."""
        return backbones.build(
            self.cell.backbone,
            self.cell.backbone_args,
            num_classes=len(self.cell.task.coarse_classes),
            channels=self.images.train.images.shape[1],
            image_size=self.cell.task.hierarchy.image_size,
            seed=0,
        )

    def passes(self) -> float:
        """Images of all training steps, and of the forward passes (watching, extraction) in the same measure."""
        train, val, test = (len(split.labels) for split in (self.images.train, self.images.val, self.images.test))
        epochs = self.recipe.epochs + fine_tune.EPOCHS * self.cell.measures.fine_tune
        watched = epochs * (min(train, MONITORED) + min(val, MONITORED))
        return epochs * train + FORWARD * (watched + train + val + 2 * test)  # test before and after

    def measured(self, device: torch.device) -> float:
        """Images/s over a few training steps on the first images, after one step that warms up."""
        split = pretrain.subset(self.images.train, 2 * self.recipe.batch_size)
        labels = torch.arange(len(split.labels)) % len(self.cell.task.coarse_classes)
        order, crops, mix = (torch.Generator().manual_seed(i) for i in range(3))
        method = registry.method(self.cell.method, self.cell.method_params)
        train = CoarseSplit(split.images, labels)
        streams = Streams(order, crops, mix, dropout=0)
        trainer = pretrain.prepare(self.network().train(), method, self.recipe, train, streams, device)
        index = torch.arange(min(self.recipe.batch_size, len(labels)), device=trainer.train.labels.device)
        progress = Progress(epoch=0, fraction=0.5, train_acc=0.5, class_counts=trainer.class_counts)
        float(pretrain.train_step(trainer, index, progress))
        started, steps = time.perf_counter(), 0
        while steps < STEPS or time.perf_counter() - started < SECONDS:
            float(pretrain.train_step(trainer, index, progress))  # waits for the device
            steps += 1
        return steps * len(index) / (time.perf_counter() - started)

    def disk_bytes(self, keep_features: bool) -> float:
        """Of the row, its predictions and its features."""
        train, val, test = (len(split.labels) for split in (self.images.train, self.images.val, self.images.test))
        features = 4 * (train + val + 2 * test) * self.network().num_features if keep_features else 0
        return ROW_BYTES + PREDICTION_BYTES * test + features

    def checkpoint_bytes(self) -> float:
        """Of parameters and moments, in every generation that is kept and in the draft of the next."""
        tensors = 3 if self.recipe.optimizer == "adamw" else 2
        return (KEPT + 1) * tensors * 4 * sum(p.numel() for p in self.network().parameters())


def forecast(grid: Grid, store: Store, setting: Setting, watch: Watch) -> Forecast:
    """Plan every task and backbone by itself, and cost what of it has no row.

    Args:
        grid: what was asked for.
        store: finished cells, if there are any; nothing is written.
        setting: where, and how.
        watch: told of every measurement.

    Raises:
        InputError: for an unknown method or backbone, or a bad parameter.
    """
    for name, params in grid.methods:
        registry.method(name, params)
    for name in grid.backbones:
        backbones.check(name)
    plans, problems = _plans(grid, setting)
    cells = {cell.key: cell for plan in plans for cell in plan.cells}
    open_cells = {key for key in cells if not (store.has(key) or store.failed(key))}
    jobs = [job for plan in plans for job in _jobs(plan, grid.recipe, open_cells)]
    scoring = _score_seconds(store)
    rates = _rates(jobs, setting, watch)
    here = torch.cuda.device_count() if setting.device.type == "cuda" else _cores()
    return Forecast(
        lines=_lines(jobs, rates, 0.0 if math.isnan(scoring) else scoring),
        done=sum(store.has(key) for key in cells),
        failed=sum(store.failed(key) for key in cells),
        problems=tuple(dict.fromkeys(problems)),
        score_seconds=scoring,
        memory_mb=math.nan if setting.rate or not jobs else peak_memory_mb(setting.device),
        disk_bytes=sum(job.disk_bytes(setting.keep_features) for job in jobs)
        + max((job.checkpoint_bytes() for job in _distinct(jobs).values()), default=0.0),
        at_once=max(1, min(here, len(jobs))),
    )


def lite(grid: Grid, found: Forecast) -> tuple[Grid, float]:
    """The task and backbone of a grid that cost least, with all methods and at most LITE_SEEDS seeds; its seconds.

    Raises:
        InputError: if nothing is left to run.
    """
    if not found.lines:
        raise InputError("--lite: nothing is left to run, so no part of it costs less; leave the option out")
    seeds = list(grid.seeds)[:LITE_SEEDS]
    costs: dict[tuple[str, str], float] = {}
    for line in found.lines:
        place = (line.task, line.backbone)
        costs[place] = costs.get(place, 0.0) + line.seconds * min(line.cells, len(seeds))
    task, backbone = min(costs, key=lambda place: costs[place])
    return dataclasses.replace(grid, tasks=[task], backbones=[backbone], seeds=seeds), costs[task, backbone]


def _plans(grid: Grid, setting: Setting) -> tuple[list[sweep.Plan], list[str]]:
    """A plan for each task and backbone that can be had, and why the others cannot."""
    plans, problems = [], []
    for task, backbone in itertools.product(grid.tasks, grid.backbones):
        part = dataclasses.replace(grid, tasks=[task], backbones=[backbone], only_fitting=True)
        try:
            made = sweep.plan(part, setting.data_root, setting.datasets_dir, allow_missing=setting.allow_missing)
        except InputError as error:
            problems.append(f"{task} on {backbone}: {error}")
        else:
            problems += made.left_out
            plans.append(made)
    return plans, problems


def _jobs(plan: sweep.Plan, recipe: Recipe, keys: set[str]) -> list[_Job]:
    """The cells of one task and backbone that are among `keys`."""
    cells = [cell for cell in plan.cells if cell.key in keys]
    if not cells:
        return []
    images = data.load(cells[0].task.pretraining, plan.images[cells[0].task.name])
    return [_Job(cell, recipe, images) for cell in cells]


def _distinct(jobs: Iterable[_Job]) -> dict[tuple[object, ...], _Job]:
    return {job.work: job for job in jobs}


def _rates(jobs: Sequence[_Job], setting: Setting, watch: Watch) -> Mapping[tuple[object, ...], float]:
    """Images/s of each distinct training: as given, or measured."""
    distinct = _distinct(jobs)
    if setting.rate:
        return dict.fromkeys(distinct, setting.rate)
    watch.begin(len(distinct))
    rates = {}
    for work, job in distinct.items():
        rates[work] = job.measured(setting.device)
        watch.step(1)
    return rates


def _lines(jobs: Sequence[_Job], rates: Mapping[tuple[object, ...], float], scoring: float) -> tuple[Line, ...]:
    """In the order of the jobs."""
    groups: dict[tuple[str, str, str, str], list[_Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    return tuple(
        Line(*group, len(members), rate := rates[members[0].work], members[0].passes() / rate + scoring)
        for group, members in groups.items()
    )


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _score_seconds(store: Store) -> float:
    found = [record["cost"]["score_seconds"] for record in store.records()] if store.cells.is_dir() else []
    return statistics.median(found) if found else math.nan
