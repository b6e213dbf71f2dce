"""A grid of cells, planned before anything runs, then run by a launcher; what is done is skipped."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmark import backbones, checkpoint, data, distributed, registry
from benchmark.backbones import Network
from benchmark.data import Decoded
from benchmark.data.source import Watcher
from benchmark.errors import InputError
from benchmark.launchers.base import Display, Launcher, Outcome, Setting
from benchmark.launchers.in_process import InProcess
from benchmark.methods.base import Method
from benchmark.schema import Cell, Measures, Recipe, Scalar, Task
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
    measures: Measures = field(default_factory=Measures)
    only_fitting: bool = False  # leave out methods that cannot train a backbone, rather than refuse the grid


@dataclass(frozen=True)
class Plan:
    """The cells of a grid, every name and parameter resolved and the images at hand."""

    cells: tuple[Cell, ...]
    images: Mapping[str, Decoded]  # by task name
    left_out: tuple[str, ...] = ()  # methods that cannot train a backbone of the grid, in words


def plan(
    grid: Grid,
    data_root: Path,
    datasets_dir: Path | None = None,
    download: bool = False,
    allow_missing: bool = False,
    watcher: Watcher | None = None,
) -> Plan:
    """Resolve and check everything a grid names, before anything is trained.

    Args:
        grid: what was asked for.
        data_root: where the images are.
        datasets_dir: a further folder of hierarchies.
        download: fetch images that are missing.
        allow_missing: drop classes without images from their tasks.
        watcher: told of every image that has to be decoded.

    Raises:
        InputError: for any unknown name, bad parameter, missing or corrupt image, a backbone that does not take a
            task's images, or a method that cannot train a backbone (unless the grid asks for the fitting ones).
    """
    methods = [(name, registry.method(name, params)) for name, params in grid.methods]
    for name in grid.backbones:
        backbones.check(name)
    named = [registry.task(name, datasets_dir) for name in grid.tasks]
    images = {task.name: data.decode(task.hierarchy, data_root, download, watcher) for task in named}
    tasks = [data.cover(task, images[task.name], allow_missing) for task in named]
    channels = {task.name: _channels(task, images[task.name]) for task in tasks}
    cells: list[Cell] = []
    left_out: list[str] = []
    for task, backbone in itertools.product(tasks, grid.backbones):
        network = _network(grid, task, backbone, channels[task.name])
        if distributed.size() > 1:
            _check_shares(grid, task, images[task.name], network, backbone)
        fitting, misfits = _fitting(methods, network, backbone)
        if misfits and not grid.only_fitting:
            raise InputError(misfits[0])
        left_out += misfits
        cells += _cells(grid, task, images[task.name].digest, backbone, fitting)
    return Plan(tuple({cell.key: cell for cell in cells}.values()), images, tuple(dict.fromkeys(left_out)))


def _cells(
    grid: Grid, task: Task, data_digest: str, backbone: str, methods: Sequence[tuple[str, Method]]
) -> list[Cell]:
    """Every seed and method on one task and backbone, seed by seed."""
    return [
        Cell(
            task=task,
            data_digest=data_digest,
            method=name,
            method_params=method.params,
            backbone=backbone,
            backbone_args=grid.backbone_args.get(backbone, {}),
            recipe=grid.recipe,
            seed=seed,
            method_digest=registry.method_digest(name),
            measures=grid.measures,
        )
        for seed, (name, method) in itertools.product(grid.seeds, methods)
    ]


def _channels(task: Task, images: Decoded) -> int:
    """C of the task's images, after a look at them: every class has some in every split."""
    data.load(task.evaluation, images)
    return data.load(task.pretraining, images).train.images.shape[1]


def _network(grid: Grid, task: Task, backbone: str, channels: int) -> Network:
    return backbones.build(
        backbone,
        grid.backbone_args.get(backbone, {}),
        num_classes=len(task.coarse_classes),
        channels=channels,
        image_size=task.hierarchy.image_size,
        seed=0,
    )


def _check_shares(grid: Grid, task: Task, images: Decoded, network: Network, backbone: str) -> None:
    """Whether several processes give the numbers of one: equal shares, and no draws of a process's own.

    Raises:
        InputError: with the nearest batch size that can be shared out.
    """
    train, processes = data.load(task.pretraining, images).train, distributed.size()
    batch = min(grid.recipe.batch_size, len(train.labels))
    if batch % processes:
        rounded = max(batch // processes, 1) * processes
        raise InputError(
            f"{task.name}: a batch of {batch} images is not a multiple of {processes} processes; "
            f"use --set recipe.batch_size={rounded} or another --nproc-per-node"
        )
    if backbones.draws_at_random(network, train.images.shape[1], task.hierarchy.image_size):
        raise InputError(
            f"backbone {backbone} drops units at random, which several processes cannot draw as one does; "
            "set its drop rates to 0 (--set backbone.NAME.drop_path_rate=0) or start it without torchrun"
        )


def _fitting(
    methods: Iterable[tuple[str, Method]], network: Network, backbone: str
) -> tuple[list[tuple[str, Method]], list[str]]:
    """The methods that can train the network, and for each other one why it cannot."""
    fitting, misfits = [], []
    for name, method in methods:
        try:
            method.check(network)
        except InputError as error:
            misfits.append(f"{name} cannot train {backbone}: {error}")
        else:
            fitting.append((name, method))
    return fitting, misfits


def todo(plan: Plan, store: Store, retry_failed: bool = False) -> list[Cell]:
    """The cells of a plan that have no row, failed ones only if asked."""
    missing = [cell for cell in plan.cells if not store.has(cell.key)]
    return [cell for cell in missing if retry_failed or not store.failed(cell.key)]


def run(
    cells: Iterable[Cell],
    plan: Plan,
    store: Store,
    device: torch.device,
    display: Display,
    keep_features: bool = False,
    checkpoint_minutes: float = checkpoint.MINUTES,
) -> Outcome:
    """Run cells in this process, in order; as `drive` does."""
    chosen = list(cells)
    again = frozenset(cell.key for cell in chosen if store.failed(cell.key))
    setting = Setting(store.folder, str(device), keep_features, checkpoint_minutes, again=again)
    return drive(InProcess(setting), chosen, plan, display)


def drive(launcher: Launcher, cells: Sequence[Cell], plan: Plan, display: Display) -> Outcome:
    """Run cells by a launcher; a failing one is recorded and the rest go on.

    Raises:
        InputError: if the output folder cannot be written any more.
        KeyboardInterrupt: on Ctrl-C; finished cells are stored, and nothing runs any more.
        Stop: on SIGTERM or SIGUSR1; as with Ctrl-C, and the state of cells in training is kept.
    """
    launcher.submit(cells, plan.images)
    try:
        return launcher.watch(display)
    except BaseException:
        launcher.cancel()
        raise


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
