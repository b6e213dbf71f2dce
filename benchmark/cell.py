"""run_cell: the straight line from a cell to its row."""

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

import benchmark
from benchmark import archive, backbones, data, distributed, provenance, registry, rng, tracking
from benchmark.backbones import Network
from benchmark.checkpoint import Desk, Keeper, Unkept
from benchmark.data import Decoded, policy
from benchmark.errors import InputError
from benchmark.features import by_layer, extract, pooled
from benchmark.pretrain import Monitor, Silent, Streams, autocast_dtype, pretrain
from benchmark.probes import fine_tune
from benchmark.rng import Purpose
from benchmark.schema import Cell, Cost, Data, Features, Labels, Provenance, Recipe, Row, Task
from benchmark.scorer import Chance, score

PRETRAINING: Final = ("order", "policy", "mix", "dropout")
FINE_TUNING: Final = ("tune-order", "tune-policy", "tune-mix", "tune-dropout")


@dataclass(frozen=True)
class Shelf:
    """Where features are kept.

    Attributes:
        folder: holds `<features key>.safetensors`; what lies there is used, whoever put it there.
        keep: whether new features are added.
    """

    folder: Path
    keep: bool = False

    def path(self, cell: Cell) -> Path:
        """The file of a cell; cells that differ in nothing but how they are scored share it."""
        return self.folder / f"{cell.features_key}.safetensors"


def run_cell(
    cell: Cell,
    decoded: Decoded,
    device: torch.device,
    monitor: Monitor,
    shelf: Shelf,
    desk: Desk | None = None,
) -> tuple[Row, bytes]:
    """Pretrain on coarse labels, freeze, extract, score; only score where the features are at hand.

    Args:
        cell: what to run; nothing else decides the scores.
        decoded: the images of the cell's task.
        device: where to run.
        monitor: told of training progress.
        shelf: features of earlier runs.
        desk: where training leaves its state now and then, and goes on from; none: it starts anew.

    Returns:
        The row, and the packed predictions whose digest it holds.

    Raises:
        InputError: if the backbone does not fit the images.
        FloatingPointError: if training diverges.
        ValueError: if the features have no direction (a dead network).
        Stop: if a signal that the desk knows of came while the network was trained.
    """
    kept = shelf.path(cell)
    if kept.exists():
        features, labels, record = archive.recall(kept)
    else:
        distributed.announce(cell.key)
        alone = distributed.size() == 1  # the other processes would not know from where a training goes on
        with distributed.in_step():
            features, labels, record = _train(cell, decoded, device, monitor, desk if alone else None)
        if shelf.keep:
            archive.keep(kept, features, labels, record)
    started = time.perf_counter()
    figures, selection, predictions = score(features, labels, cell.task, chance(cell))
    packed = archive.pack(predictions)
    made = Provenance(
        **record["provenance"],
        predictions_digest=archive.sha256(packed),
        features_digest=archive.sha256(kept) if kept.exists() else "",
        scored_commit=provenance.commit_of_checkout()[0],
    )
    cost = Cost(**record["cost"], score_seconds=time.perf_counter() - started)
    return Row(cell, figures, selection, cost, made, tuple(record["history"])), packed


def follow(cells: Iterable[Cell], images: Mapping[str, Decoded], device: torch.device) -> None:
    """Train along with the leading process of torchrun's, until it announces that there is no more.

    Args:
        cells: among which are all that are announced.
        images: of each task, by name.
        device: of this process.
    """
    by_key = {cell.key: cell for cell in cells}
    while key := distributed.await_order():
        cell = by_key[key]
        with suppress(FloatingPointError, InputError), distributed.in_step():  # the leader records them
            _train(cell, images[cell.task.name], device, Silent(), None)


def chance(cell: Cell) -> Chance:
    """The draws that scores depend on; equal for all methods of a comparison."""
    return Chance(
        episodes=rng.stream(cell, "episodes"),
        clustering=rng.seed(cell, "clustering"),
        bootstrap=rng.stream(cell, "bootstrap"),
        shuffle=rng.stream(cell, "shuffle"),
    )


def labels_of(splits: Data, source: Data, task: Task) -> Labels:
    """The labels that are scored against.

    Args:
        splits: what is evaluated.
        source: what pretraining was on; the same but for a subpopulation shift.
        task: gives the coarse label of each fine one.
    """
    to_coarse = torch.tensor(task.pretraining.fine_to_coarse)
    return Labels(
        train=splits.train.labels,
        val=splits.val.labels,
        test=splits.test.labels,
        shots=splits.shots,
        held_out=to_coarse[source.val.labels],
        source=to_coarse[source.test.labels] if task.hierarchy.target else None,
    )


def _train(
    cell: Cell, decoded: Decoded, device: torch.device, monitor: Monitor, desk: Desk | None
) -> tuple[Features, Labels, dict[str, Any]]:
    """What scores are computed from, and the rest of the row as plain values."""
    task, recipe = cell.task, _recipe(cell)
    source, splits = data.load(task.pretraining, decoded), data.load(task.evaluation, decoded)  # one but for a shift
    coarse_train, coarse_val = (data.coarsen(split, task.pretraining) for split in (source.train, source.val))
    pixels = policy.channel_statistics(source.train.images)
    network = _network(cell, source)
    method = registry.method(cell.method, cell.method_params)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    untrained = pooled(network.to(device), splits.test.images, pixels, device)
    observe = tracking.observer(network, source.val, task.pretraining, cell.measures.track, pixels, device)
    pretraining, fine_tuning = (_keeper(desk, cell, phase, device) for phase in ("pretrain", "tune"))
    streams = _streams(cell, PRETRAINING)
    started = time.perf_counter()
    history = pretrain(
        network, method, recipe, (coarse_train, coarse_val), streams, device, monitor, observe, pretraining
    )
    trained = time.perf_counter()
    features = extract(network, splits, source if task.hierarchy.target else None, pixels, device)
    features = dataclasses.replace(
        features,
        untrained=untrained,
        layers=by_layer(network, splits.test.images, pixels, device) if cell.measures.layers else {},
    )
    extracted = time.perf_counter()
    if cell.measures.fine_tune:
        seed = rng.seed(cell, "tune-init")
        tuned = fine_tune.predict(network, splits, recipe, _streams(cell, FINE_TUNING), seed, device, fine_tuning)
        features = dataclasses.replace(features, tuned=tuned)
    record = {
        "history": history,
        "cost": {
            "pretrain_seconds": trained - started + pretraining.earlier_seconds,
            "extract_seconds": extracted - trained,
            "fine_tune_seconds": time.perf_counter() - extracted + fine_tuning.earlier_seconds,
            "images_per_second": statistics.median(epoch["images_per_second"] for epoch in history),
            "peak_memory_mb": peak_memory_mb(device),
        },
        "provenance": provenance.collect(cell, device, _split_digest(source, splits)),
    }
    return features, labels_of(splits, source, task), record


def _keeper(desk: Desk | None, cell: Cell, phase: str, device: torch.device) -> Keeper:
    """What a phase of training goes on from is exact only where all of this is as it was."""
    dtype = autocast_dtype(_recipe(cell).precision, device)
    precision = "bf16" if dtype else "fp32"
    versions = {"c2f": benchmark.__version__, "torch": str(torch.__version__)}
    here = {**versions, "device": device.type, "precision": precision}
    return desk.keeper(cell.key, phase, here) if desk else Unkept()


def _recipe(cell: Cell) -> Recipe:
    if cell.recipe is None:
        raise ValueError(f"{cell.method}: trained elsewhere, there is no recipe to train it by")
    return cell.recipe


def _network(cell: Cell, source: Data) -> Network:
    return backbones.build(
        cell.backbone,
        cell.backbone_args,
        num_classes=len(cell.task.coarse_classes),
        channels=source.train.images.shape[1],
        image_size=cell.task.hierarchy.image_size,
        seed=rng.seed(cell, "init"),
    )


def _streams(cell: Cell, purposes: tuple[Purpose, Purpose, Purpose, Purpose]) -> Streams:
    order, policy, mix, dropout = purposes
    return Streams(rng.stream(cell, order), rng.stream(cell, policy), rng.stream(cell, mix), rng.seed(cell, dropout))


def _split_digest(source: Data, splits: Data) -> str:
    return "+".join(dict.fromkeys([source.split_digest, splits.split_digest]))


def peak_memory_mb(device: torch.device) -> float:
    """Of this process so far on a CPU, of this cell on a GPU; NaN where the system does not tell (Windows)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
