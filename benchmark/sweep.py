"""A grid of cells, planned before anything runs, then run one after the other; what is done is skipped."""

import itertools
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from benchmark import backbones, data, registry
from benchmark.cell import run_cell
from benchmark.data import Decoded
from benchmark.errors import InputError
from benchmark.pretrain import Monitor
from benchmark.schema import Cell, Recipe, Scalar
from benchmark.store import Store


@dataclass(frozen=True)
class Grid:
    """Names and changes that span a sweep."""

    tasks: Sequence[str]
    methods: Sequence[tuple[str, Mapping[str, Scalar]]]  # name and parameters that differ from the defaults
    backbones: Sequence[str]
    seeds: Sequence[int]
    recipe: Recipe
    backbone_args: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The cells of a grid, every name and parameter resolved and the images at hand."""

    cells: tuple[Cell, ...]
    images: Mapping[str, Decoded]  # by task name


@dataclass
class Outcome:
    """What became of the cells that were run."""

    done: int = 0
    failed: int = 0


class Display(Protocol):
    """Something that shows the progress of a sweep."""

    def cell_started(self, cell: Cell) -> Monitor:
        """A cell begins; the monitor is told of its training."""

    def cell_finished(self, cell: Cell, seconds: float, problem: str) -> None:
        """A cell is done; `problem` is empty unless it failed."""


def plan(grid: Grid, data_root: Path, datasets_dir: Path | None = None, download: bool = False) -> Plan:
    """Resolve and check everything a grid names, before anything is trained.

    Raises:
        InputError: for any unknown name, bad parameter, missing or corrupt image, or a backbone that does not take
            a task's images.
    """
    methods = [(name, registry.method(name, params).params) for name, params in grid.methods]
    for name in grid.backbones:
        backbones.check(name)
    tasks = [registry.task(name, datasets_dir) for name in grid.tasks]
    images = {task.name: data.decode(task.hierarchy, data_root, download) for task in tasks}
    for task in tasks:
        splits = data.load(task, images[task.name])  # every class has images in every split
        for name in grid.backbones:  # every backbone takes such images
            backbones.build(
                name,
                grid.backbone_args.get(name, {}),
                num_classes=len(task.coarse_classes),
                channels=splits.train.images.shape[1],
                image_size=task.hierarchy.image_size,
                seed=0,
            )
    cells = [
        Cell(
            task=task,
            data_digest=images[task.name].digest,
            method=method,
            method_params=params,
            backbone=backbone,
            backbone_args=grid.backbone_args.get(backbone, {}),
            recipe=grid.recipe,
            seed=seed,
        )
        for task, backbone, seed, (method, params) in itertools.product(tasks, grid.backbones, grid.seeds, methods)
    ]
    return Plan(tuple({cell.key: cell for cell in cells}.values()), images)


def todo(plan: Plan, store: Store, retry_failed: bool = False) -> list[Cell]:
    """The cells of a plan that have no row, failed ones only if asked."""
    missing = [cell for cell in plan.cells if not store.has(cell.key)]
    return [cell for cell in missing if retry_failed or not store.failed(cell.key)]


def run(cells: Iterable[Cell], plan: Plan, store: Store, device: torch.device, display: Display) -> Outcome:
    """Run cells in order; a failing one is recorded and the rest go on.

    Raises:
        InputError: if the output folder cannot be written any more.
        KeyboardInterrupt: on Ctrl-C; finished cells are stored.
    """
    outcome = Outcome()
    for cell in cells:
        started = time.perf_counter()
        monitor = display.cell_started(cell)
        problem = ""
        try:
            row = run_cell(cell, plan.images[cell.task.name], device, monitor)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            store.fail(cell, problem, traceback.format_exc(), time.perf_counter() - started)
            outcome.failed += 1
        else:
            store.publish(row)
            outcome.done += 1
        display.cell_finished(cell, time.perf_counter() - started, problem)
    return outcome


def resolve_device(name: str) -> torch.device:
    """`auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:i`.

    Raises:
        InputError: for another name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and (kind == "cpu" or not number.isdecimal())):
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:0")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r} is not here ({torch.cuda.device_count()} GPUs found); use cpu or auto")
    return torch.device(name)
