"""`c2f score`: networks and features that were made elsewhere, scored as our own are."""

import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from benchmark import archive, backbones, data, provenance, registry, scorer
from benchmark.backbones import Network
from benchmark.cell import Shelf, chance, labels_of
from benchmark.data import Decoded, policy, splits
from benchmark.data.resized import Resized
from benchmark.data.source import Watcher
from benchmark.errors import InputError, unknown
from benchmark.features import extract, pooled
from benchmark.schema import NAME_PATTERN, Cell, Cost, Data, Features, Labels, Provenance, Row, Scalar, Split, Task

VAL_SHARE = 0.1  # of a user's train features, where no val features are given
MAX_BYTES = 2**36  # of a feature file once unpacked
ARRAYS = "train_features (N,D), train_classes (N,), test_features, test_classes"


@dataclass(frozen=True)
class Request:
    """What is to be scored: an npz of features, a file of weights, or the name of a timm model."""

    what: str
    task: str
    backbone: str
    image_size: int
    name: str
    seed: int
    data_root: Path
    datasets_dir: Path | None


@dataclass(frozen=True)
class Scored:
    """A row of a network that was trained elsewhere, and its packed predictions."""

    row: Row
    predictions: bytes


def score(request: Request, shelf: Shelf, device: torch.device, watcher: Watcher | None = None) -> Scored:
    """Score whatever a request names, and keep its features if the shelf asks for it.

    Raises:
        InputError: if it is neither a file nor a model timm has weights for, or does not fit the task.
    """
    task, path = registry.task(request.task, request.datasets_dir), Path(request.what).expanduser()
    name = request.name or _slug(path.stem if path.is_file() else request.what)
    if not NAME_PATTERN.fullmatch(name):
        raise InputError(f"--name {name!r}: use lower-case letters, digits, dots, dashes and underscores")
    if path.suffix == ".npz" and path.is_file():
        return from_features(path, task, name, shelf, request.seed)
    checkpoint = _checkpoint(request, path)
    decoded = data.decode(task.hierarchy, request.data_root, watcher=watcher)
    return from_checkpoint(checkpoint, data.cover(task, decoded), decoded, name, shelf, device, request.seed)


def _checkpoint(request: Request, path: Path) -> "Checkpoint":
    if path.is_file():
        if not request.backbone:
            raise InputError(f"{path}: a file of weights needs its architecture; name it with --backbone")
        return Checkpoint(path, request.backbone, {}, request.image_size)
    if request.what.partition(".")[0] in backbones.timm_names():
        return Checkpoint(None, request.what, {}, request.image_size)
    raise InputError(f"{request.what}: no such file, and no timm model of that name; check the path or the name")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._") or "external"


def from_features(path: Path, task: Task, name: str, shelf: Shelf, seed: int = 0) -> Scored:
    """Score a feature file, of a subpopulation shift on the classes that pretraining is kept away from.

    Args:
        path: npz with `train_features` (N, D) float, `train_classes` (N,) fine class names or ids as strings,
            `test_features`, `test_classes`; optionally `val_features`, `val_classes` (else a tenth of train is held
            out) and `test_coarse_logits` (N, K), columns in the task's order of coarse classes.
        task: gives the classes.
        name: what the row's `method` says.
        shelf: where features are kept, if they are.
        seed: of episodes, resamples and shuffles.

    Raises:
        InputError: if an array is missing or misshapen, or a class is not the task's.
    """
    arrays, evaluated = _read(path), task.evaluation
    train, test = (_part(path, arrays, part, evaluated) for part in ("train", "test"))
    if "val_features" in arrays or "val_classes" in arrays:
        val = _part(path, arrays, "val", evaluated)
    else:
        rest, held = splits.hold_out(train[1].numpy(), VAL_SHARE, f"{task.hierarchy.source}:val")
        train, val = ((train[0][index], train[1][index]) for index in (rest, held))
    _check_sizes(path, evaluated, {"train": train, "val": val, "test": test})
    shots = torch.bincount(torch.cat([train[1], val[1]]), minlength=len(evaluated.fine_classes))
    features = Features(train[0], val[0], test[0], None, None, _logits(path, arrays, evaluated, len(test[1])))
    nobody = torch.zeros(0, dtype=torch.int64)
    labels = Labels(train[1], val[1], test[1], shots, held_out=nobody)
    cell = _cell(task, "", name, "features", {}, archive.sha256(path), seed)  # of unknown images; draws as for others
    return _scored(cell, features, labels, shelf, torch.device("cpu"), extract_seconds=0.0)


@dataclass(frozen=True)
class Checkpoint:
    """A network to be scored.

    Attributes:
        weights: a file of weights (pth, safetensors), or None for those timm publishes for the backbone.
        backbone: a variant of ours or any timm model name.
        arguments: of timm's constructor.
        image_size: edge that images are resized to, pixels; 0: as they are.
    """

    weights: Path | None
    backbone: str
    arguments: Mapping[str, Scalar]
    image_size: int = 0


def from_checkpoint(
    checkpoint: Checkpoint,
    task: Task,
    decoded: Decoded,
    name: str,
    shelf: Shelf,
    device: torch.device,
    seed: int = 0,
) -> Scored:
    """Score a timm network on the images of a task.

    Pixels are normalised as in our own runs, by the statistics of the task's train images; for published weights by
    those they were trained with. A head that fits the task's coarse classes is the coarse head; any other is left out.

    Args:
        checkpoint: weights and architecture.
        task: gives images and classes.
        decoded: its images.
        name: what the row's `method` says.
        shelf: where features are kept, if they are.
        device: where to compute.
        seed: of the untrained network, episodes, resamples and shuffles.

    Raises:
        InputError: if the weights do not fit the backbone, or the backbone the images.
    """
    started = time.perf_counter()
    network, untrained, headed = _networks(checkpoint, task, decoded, seed)
    source, evaluated = (
        _at_size(data.load(part, decoded), checkpoint.image_size) for part in (task.pretraining, task.evaluation)
    )
    if checkpoint.weights is None:
        pixels = _published_statistics(network, channels=source.train.images.shape[1])
    else:
        pixels = policy.channel_statistics(source.train.images)
    features = extract(network.to(device), evaluated, source if task.hierarchy.target else None, pixels, device)
    if not headed:
        features = dataclasses.replace(features, head=None, held_out_logits=None, test_logits=None, source_logits=None)
    blank = pooled(untrained.to(device), evaluated.test.images, pixels, device)
    features = dataclasses.replace(features, untrained=blank)
    file = archive.sha256(checkpoint.weights) if checkpoint.weights else ""
    arguments = {**checkpoint.arguments, **({} if checkpoint.weights else {"pretrained": True})}
    if checkpoint.image_size:
        arguments["image_size"] = checkpoint.image_size
    cell = _cell(task, decoded.digest, name, checkpoint.backbone, arguments, file, seed)
    return _scored(cell, features, labels_of(evaluated, source, task), shelf, device, time.perf_counter() - started)


def _networks(checkpoint: Checkpoint, task: Task, decoded: Decoded, seed: int) -> tuple[Network, Network, bool]:
    """The network, a freshly initialised one of the same architecture, and whether the first has a coarse head."""
    train = data.load(task.pretraining, decoded).train

    def built(arguments: Mapping[str, Scalar]) -> Network:
        return backbones.build(
            checkpoint.backbone,
            arguments,
            num_classes=len(task.coarse_classes),
            channels=train.images.shape[1],
            image_size=checkpoint.image_size or task.hierarchy.image_size,
            seed=seed,
        )

    untrained = built(checkpoint.arguments)
    if checkpoint.weights is None:
        return built({**checkpoint.arguments, "pretrained": True}), untrained, False
    network = built(checkpoint.arguments)
    return network, untrained, _load(network, checkpoint.weights)


def _at_size(splits: Data, edge: int) -> Data:
    """The splits at another image size; 0: as they are."""
    if not edge:
        return splits
    train, val, test = (
        Split(Resized(split.images, edge), split.labels) for split in (splits.train, splits.val, splits.test)
    )
    return dataclasses.replace(splits, train=train, val=val, test=test)


def _published_statistics(network: Network, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation that published weights were trained with, in grey levels, (1, C, 1, 1) each.

    Images of one channel get the means over channels: timm sums the first layer's weights over them, too.
    """
    config = cast(Any, network.model).pretrained_cfg
    mean, std = (255 * torch.tensor(config[name]).reshape(1, -1, 1, 1) for name in ("mean", "std"))
    return (mean, std) if channels > 1 else (mean.mean(dim=1, keepdim=True), std.mean(dim=1, keepdim=True))


def _scored(
    cell: Cell, features: Features, labels: Labels, shelf: Shelf, device: torch.device, extract_seconds: float
) -> Scored:
    started = time.perf_counter()
    try:
        figures, selection, predictions = scorer.score(features, labels, cell.task, chance(cell))
    except (ValueError, ArithmeticError) as error:  # dead or diverged networks, a probe that does not converge
        raise InputError(f"{cell.method} cannot be scored: {error}; look at the network or its features") from error
    packed, kept = archive.pack(predictions), shelf.path(cell)
    if shelf.keep:
        archive.keep(kept, features, labels, {})
    known = provenance.collect(cell, device, split_digest="")
    known |= {"init": "external", "init_labels": "unknown", "precision": "fp32"}
    made = Provenance(
        **known,
        predictions_digest=archive.sha256(packed),
        features_digest=archive.sha256(kept) if shelf.keep else "",
        scored_commit=known["git_commit"],
    )
    seconds = time.perf_counter() - started
    cost = Cost(math.nan, extract_seconds, 0.0, seconds, math.nan, math.nan)
    return Scored(Row(cell, figures, selection, cost, made, ()), packed)


def _cell(
    task: Task, data_digest: str, name: str, backbone: str, arguments: Mapping[str, Scalar], file: str, seed: int
) -> Cell:
    return Cell(task, data_digest[:16], name, {}, backbone, arguments, recipe=None, seed=seed, method_digest=file[:16])


def _load(network: Network, weights: Path) -> bool:
    """Load weights; whether the head fitted and was loaded, too."""
    from timm.models import load_state_dict

    try:
        found = load_state_dict(str(weights), device="cpu", weights_only=True)
    except Exception as error:
        first = str(error).strip().split("\n")[0]
        raise InputError(f"{weights}: no weights to read ({first}); give a .pth or .safetensors file") from None
    wanted = network.model.state_dict()
    head = {name for name in wanted if network.model.get_submodule(name.rpartition(".")[0]) is network.head}
    fits = {name for name in wanted if name in found and found[name].shape == wanted[name].shape}
    missing = sorted(set(wanted) - fits - head)
    if missing:
        raise InputError(
            f"{weights}: {len(missing)} of {len(wanted)} tensors are missing or of another shape "
            f"({', '.join(missing[:3])}); name the architecture they belong to with --backbone"
        )
    network.model.load_state_dict({name: found[name] for name in fits}, strict=False)
    return head <= fits


def _read(path: Path) -> dict[str, Any]:
    import zipfile

    try:
        with zipfile.ZipFile(path) as file:
            if sum(member.file_size for member in file.infolist()) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES >> 30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not an npz file of plain arrays ({error}); write it with numpy.savez: {ARRAYS}"
        ) from None


def _part(path: Path, arrays: Mapping[str, Any], part: str, task: Task) -> tuple[Tensor, Tensor]:
    """Features and fine labels of a split."""
    missing = [name for name in (f"{part}_features", f"{part}_classes") if name not in arrays]
    if missing:
        raise InputError(f"{path}: {' and '.join(missing)} missing, found {sorted(arrays)}; expected {ARRAYS}")
    features, classes = arrays[f"{part}_features"], arrays[f"{part}_classes"]
    if features.ndim != 2 or features.dtype.kind != "f" or 0 in features.shape:
        raise InputError(
            f"{path}: {part}_features is {features.dtype} {features.shape}; expected floats (N, D) with N, D >= 1"
        )
    if not np.isfinite(features).all():
        raise InputError(f"{path}: {part}_features holds NaN or infinity; mend the features")
    if not np.abs(features).max(axis=1).all():
        raise InputError(f"{path}: {part}_features has rows of zeros, which have no direction; mend or drop them")
    if classes.shape != features.shape[:1] or classes.dtype.kind not in "US":
        raise InputError(
            f"{path}: {part}_classes is {classes.dtype} {classes.shape}; "
            f"expected {len(features)} class names as strings"
        )
    return torch.from_numpy(features.astype(np.float32)), _labels(path, classes.astype(str).tolist(), task)


def _labels(path: Path, classes: Sequence[str], task: Task) -> Tensor:
    """Fine labels of class names; ids and readable names both serve where the hierarchy has them."""
    position = {name: label for label, name in enumerate(task.fine_classes)}
    readable = {text: position[name] for name, text in task.hierarchy.names.items() if name in position}
    known = readable | position
    for name in sorted(set(classes) - set(known)):
        raise unknown("class", name, known, f"{path} holds it; {task.name} has {len(position)} fine classes")
    return torch.tensor([known[name] for name in classes])


def _check_sizes(path: Path, task: Task, parts: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    widths = {part: features.shape[1] for part, (features, _) in parts.items()}
    if len(set(widths.values())) > 1:
        raise InputError(f"{path}: features differ in width ({widths}); take them from one network")
    for part in ("train", "test"):
        empty = sorted(set(range(len(task.fine_classes))) - set(parts[part][1].tolist()))
        if empty:
            names = ", ".join(task.fine_classes[label] for label in empty[:10])
            raise InputError(f"{path}: no {part} features of {len(empty)} classes of {task.name} ({names}); add them")


def _logits(path: Path, arrays: Mapping[str, Any], task: Task, count: int) -> Tensor | None:
    if "test_coarse_logits" not in arrays:
        return None
    logits, shape = arrays["test_coarse_logits"], (count, len(task.coarse_classes))
    if logits.shape != shape or logits.dtype.kind != "f" or not np.isfinite(logits).all():
        raise InputError(
            f"{path}: test_coarse_logits is {logits.dtype} {logits.shape}; expected finite floats {shape}, "
            f"one column for each coarse class in the order of `c2f show task {task.name}`"
        )
    return torch.from_numpy(logits.astype(np.float32))
