"""The training loop; the only one. It sees coarse labels, never a fine one, never test, and keeps the last epoch."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Generator, Tensor, nn

from benchmark import compiling, distributed
from benchmark.backbones import Network
from benchmark.checkpoint import Keeper, State, Unkept
from benchmark.data import policy
from benchmark.data.ahead import Ahead
from benchmark.methods.base import Method, Progress
from benchmark.schema import CoarseSplit, Images, Recipe, Split

RESIDENT_SHARE = 0.5  # of a GPU's free memory, which a training set may fill; a larger one is moved batch by batch
MONITORED = 2000  # images of train and of val whose coarse accuracy is measured after every epoch
EVAL_BATCH = 500
Part = TypeVar("Part", CoarseSplit, Split)


class Monitor(Protocol):
    """Something that watches training, e.g. a progress bar."""

    def begin(self, images: int) -> None:
        """Training starts; so many images will be seen over all epochs."""

    def step(self, images: int) -> None:
        """A batch of so many images is done."""

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        """An epoch is done; the record is its line of history.csv."""


class Silent:
    """A monitor that does nothing."""

    def begin(self, images: int) -> None:
        """Ignore."""

    def step(self, images: int) -> None:
        """Ignore."""

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        """Ignore."""


@dataclass(frozen=True)
class Streams:
    """The generators of one training run."""

    order: Generator  # batches; equal for all methods
    policy: Generator  # crops and flips; equal for all methods
    mix: Generator  # the method's own
    dropout: int  # seed of torch's global generator, for backbones with dropout or stochastic depth


@dataclass(frozen=True)
class Trainer:
    """What one optimiser step needs, all on one device but for a training set that does not fit there."""

    network: Network
    method: Method
    recipe: Recipe
    train: CoarseSplit
    class_counts: Tensor  # (K,) int64
    mean: Tensor  # (1, C, 1, 1)
    std: Tensor
    device: torch.device
    autocast: torch.dtype | None  # None: fp32
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    streams: Streams


@dataclass(frozen=True)
class Place:
    """Where a training run is, beside what its network, optimiser and streams tell."""

    epoch: int
    history: Sequence[dict[str, float]]  # of the epochs before
    order: Tensor  # state of the stream of batches as the epoch began
    lr: float  # as the epoch began
    loss: Tensor  # () float32, the sum over the steps of the epoch that are done
    step: int = 0  # how many those are
    seconds: float = 0.0  # that they took


def pretrain(  # noqa: PLR0913, the parts of a training run
    network: Network,
    method: Method,
    recipe: Recipe,
    splits: tuple[CoarseSplit, CoarseSplit],
    streams: Streams,
    device: torch.device,
    monitor: Monitor,
    observe: Callable[[int, int], Mapping[str, float]] = lambda _epoch, _epochs: {},
    keeper: Keeper = Unkept(),  # noqa: B008, it has no state
) -> list[dict[str, float]]:
    """Train a network in place.

    Args:
        network: freshly initialised.
        method: gives the loss.
        recipe: hyper-parameters.
        splits: train and val.
        streams: all randomness.
        device: where to train.
        monitor: told of every step and epoch.
        observe: given each epoch and their number once it is trained; what it returns joins the epoch's record.
        keeper: gives the state to go on from, and takes one between two steps whenever it is due.

    Returns:
        One record per epoch, HISTORY_COLUMNS, the method's diagnostics and what was observed: `train_acc` and `val_acc`
        are coarse accuracies on clean images of fixed subsets of at most MONITORED images, in evaluation mode; `loss`
        is the mean training loss of the method.

    Raises:
        FloatingPointError: if the loss of an epoch is not finite.
        Stop: if the keeper was told to stop; called again, training goes on, bit by bit, as if never stopped.
    """
    trainer = prepare(network, method, recipe, splits[0], streams, device)
    monitored = [_placed(subset(split, MONITORED), device) for split in splits]
    batch, steps = min(recipe.batch_size, len(splits[0].labels)), steps_per_epoch(len(splits[0].labels), recipe)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(streams.dropout)
        state = keeper.recall()
        place = _restored(trainer, state) if state else _epoch_begun(trainer, ())
        monitor.begin(recipe.epochs * steps * batch)
        monitor.step((place.epoch * steps + place.step) * batch)
        while place.epoch < recipe.epochs:
            record = _measured_epoch(trainer, place, monitored, monitor, keeper)
            record.update(observe(place.epoch, recipe.epochs))
            monitor.epoch(record, recipe.epochs)
            place = _epoch_begun(trainer, (*place.history, record))
    return list(place.history)


def prepare(
    network: Network,
    method: Method,
    recipe: Recipe,
    train: CoarseSplit,
    streams: Streams,
    device: torch.device,
) -> Trainer:
    """Move everything that fits to the device and make optimiser and schedule."""
    network.auxiliary = method.auxiliary(network, streams.mix)
    if distributed.size() > 1:
        network.shared_out = True
        network.model = distributed.with_synchronised_norms(network.model, device)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean, std = policy.channel_statistics(train.images)
    optimizer = _optimizer(network, recipe)
    steps = steps_per_epoch(len(train.labels), recipe)
    trainer = Trainer(
        network=network,
        method=method,
        recipe=recipe,
        train=_placed(train, device),
        class_counts=torch.bincount(train.labels, minlength=network.num_classes).to(device),
        mean=mean.to(device),
        std=std.to(device),
        device=device,
        autocast=autocast_dtype(recipe.precision, device),
        optimizer=optimizer,
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, _learning_rate(recipe, steps)),
        streams=streams,
    )
    if recipe.compile:
        _compile(trainer)
    return trainer


def train_step(trainer: Trainer, index: Tensor, progress: Progress) -> Tensor:
    """One optimiser step on the images at `index`; returns the detached loss without waiting for the device."""
    train, recipe = trainer.train, trainer.recipe
    images, labels = (chosen[index].to(trainer.device, non_blocking=True) for chosen in (train.images, train.labels))
    images = policy.augment(images, recipe.policy, trainer.streams.policy)
    images = policy.normalise(trainer.method.views(images, trainer.streams.mix), trainer.mean, trainer.std)
    with torch.autocast(trainer.device.type, trainer.autocast, enabled=trainer.autocast is not None):
        loss = trainer.method.loss(trainer.network, images, labels, progress, trainer.streams.mix)
    loss.backward()
    if trainer.network.shared_out:
        distributed.sum_gradients(trainer.network.parameters(), trainer.network.replicated_parameters())
    trainer.optimizer.step()
    trainer.scheduler.step()
    trainer.optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def batches(trainer: Trainer, done: int = 0) -> Iterator[Tensor]:
    """Index tensors of one epoch in random order, but for those of the steps that are done.

    Batches are full: up to batch_size - 1 images, others each epoch, sit an epoch out, so that no step sees a
    handful of images. A set smaller than one batch is one batch.
    """
    count, size = len(trainer.train.labels), trainer.recipe.batch_size
    order = torch.randperm(count, generator=trainer.streams.order).to(trainer.train.labels.device)
    indices = order[: steps_per_epoch(count, trainer.recipe) * size].split(size)[done:]
    images = trainer.train.images
    yield from images.each(indices) if isinstance(images, Ahead) and indices else indices


def steps_per_epoch(count: int, recipe: Recipe) -> int:
    """Optimiser steps per epoch of `count` images."""
    return max(count // recipe.batch_size, 1)


def accuracy(trainer: Trainer, split: CoarseSplit) -> float:
    """Coarse accuracy on clean images in evaluation mode and the recipe's precision, in [0, 1]."""
    network = trainer.network
    with torch.autocast(trainer.device.type, trainer.autocast, enabled=trainer.autocast is not None):
        logits = forward_in_batches(network, network.forward, split.images, trainer.mean, trainer.std)
    return float((logits.argmax(dim=1) == split.labels.to(logits.device)).double().mean())


@torch.inference_mode()
def forward_in_batches(
    network: Network, forward: Callable[[Tensor], Tensor], images: Images, mean: Tensor, std: Tensor
) -> Tensor:
    """`forward` over clean uint8 images (N, C, H, W), batch by batch in evaluation mode on the device of `mean`.

    Leaves the network in the mode it found.
    """
    was_training = network.training
    network.eval()
    try:
        return torch.cat(
            [
                forward(policy.normalise(batch.to(mean.device, non_blocking=True), mean, std))
                for batch in images.split(EVAL_BATCH)
            ]
        )
    finally:
        network.train(was_training)


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """bf16 or None for fp32; `auto` is bf16 where the hardware computes in it rather than emulates it."""
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else None


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _epoch_begun(trainer: Trainer, history: Sequence[dict[str, float]]) -> Place:
    """The place after so many epochs."""
    lr = trainer.optimizer.param_groups[0]["lr"]
    return Place(len(history), history, trainer.streams.order.get_state(), lr, torch.zeros((), device=trainer.device))


def _measured_epoch(
    trainer: Trainer, place: Place, monitored: Sequence[CoarseSplit], monitor: Monitor, keeper: Keeper
) -> dict[str, float]:
    """Train for an epoch, or what is left of it; its line of history.csv."""
    train_acc = place.history[-1]["train_acc"] if place.history else 0.0
    progress = Progress(place.epoch, place.epoch / trainer.recipe.epochs, train_acc, trainer.class_counts)
    done = _epoch(trainer, progress, place, monitor, keeper)
    loss = float(done.loss) / done.step
    if not math.isfinite(loss):
        raise FloatingPointError(f"loss became {loss} in epoch {place.epoch}; lower recipe.lr")
    train_acc, val_acc = (accuracy(trainer, split) for split in monitored)
    return {
        "epoch": place.epoch,
        "lr": place.lr,
        "loss": loss,
        "train_acc": train_acc,
        "val_acc": val_acc,
        "epoch_seconds": done.seconds,
        "images_per_second": done.step * min(trainer.recipe.batch_size, len(trainer.train.labels)) / done.seconds,
        **trainer.method.diagnostics(progress),
    }


def _epoch(trainer: Trainer, progress: Progress, place: Place, monitor: Monitor, keeper: Keeper) -> Place:
    """The place at the end of the epoch."""
    trainer.network.train()
    started = time.perf_counter() - place.seconds
    count = steps_per_epoch(len(trainer.train.labels), trainer.recipe)
    loss, step = place.loss, place.step
    for index in batches(trainer, step):
        fraction = (progress.epoch + step / count) / trainer.recipe.epochs
        loss = loss + train_step(trainer, index, dataclasses.replace(progress, fraction=fraction))
        step += 1
        monitor.step(len(index))
        if keeper.due():
            here = dataclasses.replace(place, loss=loss, step=step, seconds=time.perf_counter() - started)
            keeper.keep(_captured(trainer, here))
    total = float(loss)  # waits for the device, so the seconds are of all steps
    return dataclasses.replace(place, loss=torch.tensor(total), step=step, seconds=time.perf_counter() - started)


def _captured(trainer: Trainer, place: Place) -> State:
    """All that the rest of the training depends on, between two steps: there are no gradients then."""
    optimizer, streams = trainer.optimizer, trainer.streams
    tensors = {f"network.{name}": value for name, value in trainer.network.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items() if isinstance(value, Tensor)}
    tensors |= {"stream.order": place.order, "stream.policy": streams.policy.get_state()}
    tensors |= {"stream.mix": streams.mix.get_state(), "stream.torch": torch.get_rng_state(), "loss": place.loss}
    if trainer.device.type == "cuda":
        tensors["stream.cuda"] = torch.cuda.get_rng_state(trainer.device)
    values = {
        "epoch": place.epoch,
        "step": place.step,
        "seconds_of_epoch": place.seconds,
        "lr_of_epoch": place.lr,
        "history": list(place.history),
        "lr": [group["lr"] for group in optimizer.param_groups],
        "scheduler": trainer.scheduler.state_dict(),
    }
    steps = place.epoch * steps_per_epoch(len(trainer.train.labels), trainer.recipe) + place.step
    return State(steps, tensors, values)


def _restored(trainer: Trainer, state: State) -> Place:
    """Put a captured state back; the place it was captured at."""
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "stream": {}, "loss": {}}
    for name, tensor in state.tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    values, stream = state.values, parts["stream"]
    trainer.network.load_state_dict(parts["network"])
    _restore_moments(trainer.optimizer, parts["optimizer"])
    for group, lr in zip(trainer.optimizer.param_groups, values["lr"], strict=True):
        group["lr"] = lr
    trainer.scheduler.load_state_dict(values["scheduler"])
    for generator, name in (
        (trainer.streams.order, "order"),
        (trainer.streams.policy, "policy"),
        (trainer.streams.mix, "mix"),
    ):
        generator.set_state(stream[name])
    torch.set_rng_state(stream["torch"])
    if trainer.device.type == "cuda":
        torch.cuda.set_rng_state(stream["cuda"], trainer.device)
    return Place(
        epoch=values["epoch"],
        history=values["history"],
        order=stream["order"],
        lr=values["lr_of_epoch"],
        loss=parts["loss"][""].to(trainer.device),
        step=values["step"],
        seconds=values["seconds_of_epoch"],
    )


def _restore_moments(optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    """Momentum and the like, laid out in memory as their parameters are: fused kernels take it for granted."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        number, _, kind = name.partition(".")
        like = parameters[int(number)]
        laid = torch.empty_like(like, dtype=value.dtype).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(number), {})[kind] = laid.detach()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _compile(trainer: Trainer) -> None:
    """Compile the backbone for batches of the recipe's size, after a check on the first images."""
    first = slice(min(trainer.recipe.batch_size, len(trainer.train.labels)))
    images, labels = (chosen[first].to(trainer.device) for chosen in (trainer.train.images, trainer.train.labels))
    images = policy.normalise(images, trainer.mean, trainer.std)
    compiling.compile_backbone(trainer.network, images, labels, trainer.autocast)


def _placed(split: CoarseSplit, device: torch.device) -> CoarseSplit:
    """On the device if it fits there; else where it is, and batches are moved to a GPU while it works on others."""
    if math.prod(split.images.shape) > _room(device):
        return split if device.type == "cpu" else CoarseSplit(Ahead(split.images, device), split.labels)
    return CoarseSplit(split.images.to(device), split.labels.to(device))


def _room(device: torch.device) -> float:
    """Bytes of images that may lie on a device; none on a CPU, which reads them where they are mapped."""
    if device.type == "cuda":
        return RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    return 0 if device.type == "cpu" else math.inf


def subset(split: Part, most: int) -> Part:
    """At most `most` images, evenly spaced, so that every class of a sorted set is met."""
    if len(split.labels) <= most:
        return split
    index = torch.linspace(0, len(split.labels) - 1, most, device=split.labels.device).long()
    return dataclasses.replace(split, images=split.images[index], labels=split.labels[index])


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Weight decay on weights only: norms, biases and what timm's model asks to be spared get none."""
    from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]

    spared: set[str] = getattr(getattr(network, "model", network), "no_weight_decay", set)()
    groups = param_groups_weight_decay(
        network, recipe.weight_decay, no_weight_decay_list=[f"model.{name}" for name in spared]
    )
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True)


def _learning_rate(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """Share of the peak learning rate at a step: linear warm-up, then half a cosine to zero, or constant."""
    warmup, total = recipe.warmup_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if recipe.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))

    return share
