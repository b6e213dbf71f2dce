"""run_cell: the straight line from a cell to its row."""

import math
import statistics
import sys
import time

import torch

from benchmark import backbones, data, provenance, registry, rng
from benchmark.data import Decoded, policy
from benchmark.features import extract
from benchmark.pretrain import Monitor, Streams, pretrain
from benchmark.schema import Cell, Cost, Row
from benchmark.scorer import score


def run_cell(cell: Cell, decoded: Decoded, device: torch.device, monitor: Monitor) -> Row:
    """Pretrain on coarse labels, freeze, extract, score.

    Args:
        cell: what to run; nothing else decides the scores.
        decoded: the images of the cell's task.
        device: where to run.
        monitor: told of training progress.

    Raises:
        InputError: if the backbone does not fit the images.
        FloatingPointError: if training diverges.
        ValueError: if the features have no direction (a dead network).
    """
    task, recipe = cell.task, cell.recipe
    source, splits = data.load(task.pretraining, decoded), data.load(task.evaluation, decoded)  # one but for a shift
    coarse_train, coarse_val = (data.coarsen(split, task.pretraining) for split in (source.train, source.val))
    network = backbones.build(
        cell.backbone,
        cell.backbone_args,
        num_classes=len(task.coarse_classes),
        channels=source.train.images.shape[1],
        image_size=task.hierarchy.image_size,
        seed=rng.seed(cell, "init"),
    )
    method = registry.method(cell.method, cell.method_params)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    started = time.perf_counter()
    history = pretrain(network, method, recipe, (coarse_train, coarse_val), _streams(cell), device, monitor)
    trained = time.perf_counter()
    statistics_of_train = policy.channel_statistics(source.train.images)
    seen = extract(network, source, statistics_of_train, device)
    features = extract(network, splits, statistics_of_train, device) if task.hierarchy.target else seen
    extracted = time.perf_counter()
    scores, selection = score(features, splits, task, (seen, source))
    scored = time.perf_counter()

    cost = Cost(
        pretrain_seconds=trained - started,
        extract_seconds=extracted - trained,
        score_seconds=scored - extracted,
        images_per_second=statistics.median(epoch["images_per_second"] for epoch in history),
        peak_memory_mb=_peak_memory_mb(device),
    )
    digests = dict.fromkeys([source.split_digest, splits.split_digest])
    made = provenance.collect(cell, device, "+".join(digests))
    return Row(cell, scores, selection, cost, made, tuple(history))


def _streams(cell: Cell) -> Streams:
    return Streams(
        order=rng.stream(cell, "order"),
        policy=rng.stream(cell, "policy"),
        mix=rng.stream(cell, "mix"),
        dropout=rng.seed(cell, "dropout"),
    )


def _peak_memory_mb(device: torch.device) -> float:
    """Of this process so far on a CPU, of this cell on a GPU; NaN where the system does not tell (Windows)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
