"""Our training loop against that of timm's training script: same images, network, batch, optimiser, mixup and cores.

The script itself is not in timm's package. `of_timm` is our own short account of its loop out of timm's own pieces,
with the script's defaults where they cost time: an ImageFolder read by two workers, random resized crop and flip, mixup
as batches are collated, SGD with Nesterov momentum, the cosine schedule updated every step, the loss read every step.
Colour jitter, which the script has on, is off.
"""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark import registry
from benchmark.errors import InputError
from benchmark.speed import Watch
from benchmark.speed_scores import Line, in_child

if TYPE_CHECKING:
    from torch import nn

TASK = "cifar100-superclass"
IMAGES, SIZE, CLASSES, BATCH, WORKERS = 8192, 32, 100, 128, 2
EPOCHS = 3  # of which the first is not counted
ALPHA, LR, MOMENTUM, WEIGHT_DECAY = 0.2, 0.1, 0.9, 5e-4
SAME_PRECISION, WITH_BF16 = 1.8, 2.5  # times as fast as timm's loop in fp32, at least


def measure(root: Path, rounds: int, watch: Watch) -> list[Line]:
    """Time epochs of both loops in processes of their own, by turns; least times, as what is more is other work.

    Args:
        root: of the data; CIFAR-100 where it has it, else made-up pictures.
        rounds: how often each is run.
        watch: told of every run.

    Raises:
        InputError: if a run fails.
    """
    runs = [(loop, precision) for precision in ("fp32", "bf16") for loop in ("of_timm", "of_ours")]
    seconds: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    watch.begin(rounds * len(runs))
    with tempfile.TemporaryDirectory(prefix="c2f-speed-") as folder:
        origin = write_pictures(Path(folder), root)
        for _ in range(rounds):
            for loop, precision in runs:
                found = in_child(loop, {"folder": folder, "precision": precision}, "speed_timm")
                seconds[loop, precision].append(found["seconds"])
                watch.step(1)
    return _lines(origin, {run: min(taken) for run, taken in seconds.items()})


def _lines(origin: str, seconds: Mapping[tuple[str, str], float]) -> list[Line]:
    """Speeds for information, then times per image of ours over theirs with the limits."""
    words = {"of_timm": "timm's loop", "of_ours": "ours"}
    speeds = [
        Line("timm", f"{words[loop]}, {precision}, {origin}", 1 / taken, "images/s")
        for (loop, precision), taken in seconds.items()
    ]
    theirs, theirs_bf16 = seconds["of_timm", "fp32"], seconds["of_timm", "bf16"]
    ours, ours_bf16 = seconds["of_ours", "fp32"], seconds["of_ours", "bf16"]
    return [
        *speeds,
        Line("timm", "seconds per image, ours over timm's, both fp32", ours / theirs, limit=1 / SAME_PRECISION),
        Line("timm", "  ours in bf16 over timm's in fp32", ours_bf16 / theirs, limit=1 / WITH_BF16),
        Line("timm", "  both bf16", ours_bf16 / theirs_bf16),
    ]


def write_pictures(folder: Path, root: Path) -> str:
    """IMAGES pictures as `CLASS/NUMBER.png`; where they come from, in a word."""
    from PIL import Image

    pixels, labels, origin = _pictures(root)
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / f"{label:03}"
        place.mkdir(exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{i:05}.png")
    return origin


def _pictures(root: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], str]:
    """(N, 3, 32, 32), labels (N,), and a word."""
    from benchmark import data

    with contextlib.suppress(InputError):  # no CIFAR-100 there
        part = data.decode(registry.task(TASK).hierarchy, root).raw.parts["train"]
        return np.asarray(part.images[:IMAGES]), part.labels[:IMAGES], "CIFAR-100"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, IMAGES)
    coarse = rng.integers(0, 256, (IMAGES, 3, SIZE // 4, SIZE // 4), np.uint8)
    return coarse.repeat(4, axis=2).repeat(4, axis=3), labels, "made-up pictures"


def network() -> "nn.Module":
    """ResNet-18 at a quarter of its width, 16 to 128 channels, with its 7 x 7 stride-2 stem and max-pool."""
    import timm
    import torch
    from torch import nn

    torch.manual_seed(0)  # a process of its own
    model: Any = timm.create_model(  # a deep stem is asked for because only then does timm make its width a parameter
        "resnet18", channels=(16, 32, 64, 128), stem_type="deep", stem_width=8, num_classes=CLASSES
    )
    model.conv1 = nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False)
    made: nn.Module = model
    return made


def of_timm(folder: str, precision: str) -> dict[str, float]:
    """Seconds per image of timm's loop."""
    import torch
    from timm.data.dataset_factory import create_dataset
    from timm.data.loader import create_loader
    from timm.data.mixup import FastCollateMixup
    from timm.loss.cross_entropy import SoftTargetCrossEntropy
    from timm.optim._optim_factory import create_optimizer_v2
    from timm.scheduler.scheduler_factory import create_scheduler_v2

    cpu, model = torch.device("cpu"), network().train()
    collate: Any = FastCollateMixup
    soft_cross_entropy: Any = SoftTargetCrossEntropy
    loader = create_loader(
        create_dataset("", root=folder, is_training=True, batch_size=BATCH),
        input_size=(3, SIZE, SIZE),
        batch_size=BATCH,
        is_training=True,
        color_jitter=0.0,
        num_workers=WORKERS,
        collate_fn=collate(mixup_alpha=ALPHA, label_smoothing=0.0, num_classes=CLASSES),
        device=cpu,
    )
    optimizer = create_optimizer_v2(model, opt="sgd", lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    scheduler, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=EPOCHS, step_on_epochs=False, updates_per_epoch=len(loader)
    )
    loss_of, epochs, updates = soft_cross_entropy(), [], 0
    for _ in range(EPOCHS):
        started, images, total = time.perf_counter(), 0, 0.0
        for inputs, targets in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            updates, images, total = updates + 1, images + len(inputs), total + loss.item() * len(inputs)
            scheduler.step_update(num_updates=updates, metric=total / images)
        epochs.append((time.perf_counter() - started) / images)
    return {"seconds": min(epochs[1:])}


def of_ours(folder: str, precision: str) -> dict[str, float]:
    """Seconds per image of our loop, epochs as in a cell."""
    import torch

    from benchmark import pretrain
    from benchmark.backbones import Network
    from benchmark.data import files
    from benchmark.schema import CoarseSplit, Recipe

    paths = [(path, path.parent.name) for path in sorted(Path(folder).glob("*/*.png"))]
    part = files.raw({"train": paths}, SIZE).parts["train"]
    train = CoarseSplit(torch.from_numpy(np.stack(list(part.images))), torch.from_numpy(part.labels))
    values = {"name": "timm", "title": "", "epochs": EPOCHS, "lr": LR, "momentum": MOMENTUM, "batch_size": BATCH}
    recipe = registry.validate(Recipe, {**values, "weight_decay": WEIGHT_DECAY, "precision": precision}, "recipe")
    order, crops, mix = (torch.Generator().manual_seed(i) for i in range(3))
    history = pretrain.pretrain(
        Network(network(), CLASSES, 128),
        registry.method("mixup", {"alpha": ALPHA}),
        recipe,
        (train, pretrain.subset(train, 100)),
        pretrain.Streams(order, crops, mix, dropout=0),
        torch.device("cpu"),
        pretrain.Silent(),
    )
    return {"seconds": min(1 / epoch["images_per_second"] for epoch in history[1:])}


MEASUREMENTS: Mapping[str, Callable[..., dict[str, float]]] = {"of_timm": of_timm, "of_ours": of_ours}


def child(name: str, arguments: str) -> None:
    """Make a measurement and print its figures as a line of JSON."""
    sys.stdout.write("\n" + json.dumps(MEASUREMENTS[name](**json.loads(arguments))) + "\n")
