"""What stands around the training step: where batches come from, and what becomes of a trained network.

Pictures are made up unless a folder of real ones is named; features are made up, of 20 superclasses and 100 classes.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from benchmark import registry
from benchmark.collapse.measure import measure as measure_collapse
from benchmark.data import cache, files, policy
from benchmark.data.gathered import Gathered
from benchmark.errors import InputError
from benchmark.features import pooled
from benchmark.pretrain import Trainer
from benchmark.probes import clustering, episodes, knn, linear, ncm, retrieval
from benchmark.schema import Features, Labels
from benchmark.scorer import Chance, score
from benchmark.speed import Setting, Work, trainers_of

TASK = "cifar100-superclass"
FILES = 2048  # that are decoded in one run
EXTRACTED = 1024  # images in one run
TRAIN, VAL, TEST = 4096, 512, 1024  # features
PILLOW = """
import sys
from PIL import Image
paths = sys.stdin.readline().rstrip("\\n").split("\\t")
for path in paths:
    Image.open(path).convert("RGB")
sys.stdout.write("ready\\n"), sys.stdout.flush()
for _ in sys.stdin:
    for path in paths:
        with Image.open(path) as image:
            image.convert("RGB")
    sys.stdout.write("done\\n"), sys.stdout.flush()
"""


@contextlib.contextmanager
def works(setting: Setting, pictures: Path | None = None) -> Iterator[Mapping[str, Work]]:
    """Everything but the steps, by name, ready to be timed.

    Args:
        setting: backbone, batch, precision, device.
        pictures: folder of image files to decode; None: made-up JPEGs of the setting's size.

    Raises:
        InputError: for a folder without images.
    """
    trainer = trainers_of(setting, ["baseline"])["baseline"]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="c2f-speed-")))
        paths = _found(pictures) if pictures else _made(folder / "pictures", setting.image_size)
        bare = stack.enter_context(_decoders(paths))
        yield {
            **_loading(trainer, folder, setting.batch_size),
            "decode: Pillow alone": Work(bare, len(paths)),
            "decode: to cache": Work(_into_cache(paths, setting.image_size, folder / "decoded"), len(paths)),
            "extract features": Work(_extraction(trainer), EXTRACTED),
            **_scoring(trainer.network.num_features),
        }


def _loading(trainer: Trainer, folder: Path, batch_size: int) -> dict[str, Work]:
    """A batch that is ready for the method: of resident images, and of a mapped file as large sets are read."""
    images, device = trainer.train.images, trainer.device
    order = torch.randperm(images.shape[0], generator=Generator().manual_seed(0))[:batch_size]
    np.save(folder / "images.npy", images[:].cpu().numpy())
    mapped = torch.from_numpy(np.load(folder / "images.npy", mmap_mode="c"))
    streamed = Gathered(mapped, torch.randperm(len(mapped), generator=Generator().manual_seed(1)))
    resident, rng = order.to(device), trainer.streams.policy

    def ready(batch: Tensor) -> Tensor:
        cropped = policy.augment(batch.to(device), trainer.recipe.policy, rng)
        return policy.normalise(cropped, trainer.mean, trainer.std)

    return {
        "batch: gather": Work(lambda: images[resident].to(device), batch_size),
        "batch: ready": Work(lambda: ready(images[resident]), batch_size),
        "batch: mapped file": Work(lambda: ready(streamed[order]), batch_size),
    }


def _made(folder: Path, size: int) -> list[Path]:
    """JPEGs of smooth colours and noise, about as large as photographs of that size."""
    folder.mkdir()
    rng, paths = np.random.default_rng(0), [folder / f"{i:04}.jpg" for i in range(FILES)]
    y, x = np.mgrid[0:size, 0:size] / size
    for path in paths:
        waves = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.uniform(0, 3, (3, 3))]
        pixels = 128 + 80 * np.stack(waves, axis=2) + rng.normal(scale=12, size=(size, size, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def _found(folder: Path) -> list[Path]:
    every = sorted(path for path in folder.rglob("*") if path.suffix.lower() in files.EXTENSIONS)
    if not every:
        raise InputError(f"--pictures {folder}: no image files there; name a folder that holds some")
    return every[:: -(-len(every) // FILES)]  # of all classes, if sorted by them


@contextlib.contextmanager
def _decoders(paths: list[Path]) -> Iterator[Callable[[], None]]:
    """Pillow as torchvision's loader calls it, in a process per core: the most that decoding in Python can reach."""
    cores = files.cores()
    children = [
        subprocess.Popen([sys.executable, "-c", PILLOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(cores)
    ]

    def tell(lines: list[str]) -> None:
        for child, line in zip(children, lines, strict=True):
            assert child.stdin is not None  # noqa: S101, a pipe was asked for
            child.stdin.write(f"{line}\n")
            child.stdin.flush()
        for child in children:
            assert child.stdout is not None  # noqa: S101
            if not child.stdout.readline():
                raise InputError("a process that decodes with Pillow has died; replace or remove broken image files")

    try:
        tell(["\t".join(map(str, paths[i::cores])) for i in range(cores)])
        yield lambda: tell([""] * cores)
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _into_cache(paths: list[Path], size: int, folder: Path) -> Callable[[], None]:
    """Decoded on all cores, written and hashed, as a set is before its first cell."""
    labelled: dict[str, files.Labelled] = {"train": [(path, "picture") for path in paths]}
    names = (f"{i:032}" for i in range(10**9))

    def run() -> None:
        cache.load(next(names), lambda: files.raw(labelled, size), root=folder)

    return run


def _extraction(trainer: Trainer) -> Callable[[], Tensor]:
    images = trainer.train.images[:EXTRACTED]
    return lambda: pooled(trainer.network, images, (trainer.mean, trainer.std), trainer.device)


@dataclass(frozen=True)
class _Scored:
    """What is scored."""

    features: Features
    labels: Labels


def _scoring(dims: int) -> dict[str, Work]:
    """Every read-out of fine labels, all collapse metrics, and all of scoring with intervals and nulls."""
    task = registry.task(TASK)
    to_coarse = torch.tensor(task.fine_to_coarse)
    scored = _features(dims, to_coarse)
    found, labels = scored.features, scored.labels
    train, val, test = (found.train, labels.train), (found.val, labels.val), (found.test, labels.test)
    bank, fine = (torch.cat([found.train, found.val]), torch.cat([labels.train, labels.val])), len(to_coarse)
    draws = Generator().manual_seed(0)
    return {
        "probe: linear": Work(lambda: linear.fit(train, val), TRAIN),
        "probe: k-NN": Work(lambda: knn.predict(bank, found.test, fine), TEST),
        "probe: NCM": Work(lambda: ncm.predict(bank, found.test, fine), TEST),
        "probe: few-shot": Work(lambda: episodes.run(train, test, to_coarse, draws), TEST),
        "probe: retrieval": Work(lambda: retrieval.search(found.test, labels.test), TEST),
        "probe: clustering": Work(lambda: clustering.predict(found.test, labels.test, to_coarse, 0), TEST),
        "collapse metrics": Work(lambda: measure_collapse(*test, to_coarse, found.head), TEST),
        "all of scoring": Work(lambda: score(found, labels, task, Chance(draws, 0, draws, draws)), TEST),
    }


def _features(dims: int, to_coarse: Tensor) -> _Scored:
    """Overlapping classes, rectified."""
    rng, num_fine = Generator().manual_seed(0), len(to_coarse)
    means = torch.randn(num_fine, dims, generator=rng)
    y_train, y_val, y_test = labels = [torch.arange(count) % num_fine for count in (TRAIN, VAL, TEST)]
    train, val, test = ((means[y] + torch.randn(len(y), dims, generator=rng)).relu() for y in labels)
    num_coarse = int(to_coarse.max()) + 1
    head = torch.randn(num_coarse, dims, generator=rng), torch.zeros(num_coarse)
    features = Features(train, val, test, head, val @ head[0].T, test @ head[0].T, untrained=test.flip(1))
    shots = torch.bincount(torch.cat([y_train, y_val]), minlength=num_fine)
    return _Scored(features, Labels(y_train, y_val, y_test, shots, held_out=to_coarse[y_val]))
