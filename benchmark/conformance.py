"""What every method promises, checked on small networks of four families: the kit behind `c2f check-method`.

A check takes a method and a network it fits, and raises `ContractError` with what was found. It knows the contract of
`methods.base` and no method by name.
"""

import json
import math
import random
import traceback
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

import numpy as np
import torch
from torch import Generator, Tensor

from benchmark import backbones
from benchmark.backbones import Network
from benchmark.data import policy
from benchmark.errors import InputError
from benchmark.methods.base import InputMethod, Method, Progress, SaliencyMethod, one_hot
from benchmark.methods.baseline import Baseline
from benchmark.schema import HISTORY_COLUMNS

CLASSES = 4
EDGE = 32
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "ResNet": ("test_resnet", {}),
        "ConvNeXt": ("test_convnext", {}),
        "MobileNet": ("mobilenetv3_small_050", {}),
        "ViT": ("test_vit", {"img_size": EDGE, "patch_size": 8}),
    }
)
BATCH_SIZES = (1, 2, 7, 64)
SEEDS = range(5)


class ContractError(Exception):
    """A promise that does not hold; the message says what was found."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    title: str
    problem: str = ""  # empty: it holds
    skipped: str = ""  # why it does not apply


def examine(method: Method) -> Iterator[Finding]:
    """Check a method against its contract.

    Yields:
        A finding for each check: those of the method itself, then every family it says it can train.
    """
    fitting, refused = _families(method)
    yield from refused
    if not fitting:
        yield Finding("fits a backbone", "refuses every family; `check` must let one of them pass")
        return
    for title, check in CHECKS.items():
        yield _finding(title, partial(check, method, network_of(fitting[0])))
    for family in fitting:
        title = f"{family}: finite gradients to every parameter the baseline trains"
        yield _finding(title, partial(check_gradients, method, network_of(family)))
    if "ResNet" in fitting:
        yield _finding("images that are not square", partial(check_non_square, method, network_of("ResNet")))
    else:
        yield Finding("images that are not square", skipped="its backbones take one size")
    yield _finding("grey images of 8 pixels", partial(check_tiny, method, fitting[0]))


def _families(method: Method) -> tuple[list[str], list[Finding]]:
    """The families a method can train, and its refusals of the others."""
    fitting, refused = [], []
    for family in FAMILIES:
        try:
            method.check(network_of(family))
        except InputError as error:
            refused.append(Finding(f"{family}: refused when a sweep is planned", skipped=str(error)))
        except Exception as error:
            refused.append(Finding(f"{family}: refused when a sweep is planned", _where(error)))
        else:
            fitting.append(family)
    return fitting, refused


def _finding(title: str, check: Callable[[], None]) -> Finding:
    try:
        check()
    except ContractError as error:
        return Finding(title, str(error))
    except Exception as error:
        return Finding(title, _where(error))
    return Finding(title)


def _where(error: Exception) -> str:
    """An error with the file and line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"


@lru_cache
def network_of(family: str, channels: int = 3, edge: int = EDGE) -> Network:
    """A small network of a family, in evaluation mode; never trained, callers copy it."""
    name, arguments = FAMILIES[family]
    if family == "ViT" and edge < EDGE:
        arguments = {"img_size": edge, "patch_size": 2}
    return backbones.build(name, arguments, CLASSES, channels, edge, seed=0).eval()


def make_batch(size: int, height: int = EDGE, width: int = EDGE, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Smooth random pixels (size, C, H, W) uint8 and labels in [0, CLASSES)."""
    generator = torch.Generator().manual_seed(size)
    coarse = torch.rand(size, channels, max(height // 4, 2), max(width // 4, 2), generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").mul(255).to(torch.uint8)
    return pixels, torch.randint(0, CLASSES, (size,), generator=generator)


def run(method: Method, network: Network, pixels: Tensor, labels: Tensor, seed: int = 0) -> Tensor:
    """A step's loss as the training loop computes it: views, normalisation, loss."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.full((1, pixels.shape[1], 1, 1), 120.0)
    images = policy.normalise(method.views(pixels, generator), mean, mean / 2)
    counts = torch.arange(network.num_classes, 0, -1) * 10
    progress = Progress(epoch=3, fraction=0.5, train_acc=0.6, class_counts=counts)
    return method.loss(network, images, labels, progress, generator)


def figure(method: Method, network: Network, pixels: Tensor, labels: Tensor, seed: int = 0) -> Tensor:
    """The same without its graph."""
    return run(method, network, pixels, labels, seed).detach()


def equipped(method: Method, network: Network) -> Network:
    """A copy of the network with the method's auxiliary parts."""
    network = deepcopy(network)
    network.auxiliary = method.auxiliary(network, torch.Generator().manual_seed(0))
    return network


def check_description(method: Method, network: Network) -> None:
    """Title, paper, year, family, cost, a docstring, and a meaning for every parameter."""
    cls = type(method)
    for name in ("title", "paper", "year", "family"):
        if not getattr(cls, name, None):
            raise ContractError(f"{cls.__name__}.{name} is missing; add it as a ClassVar")
    if cls.family not in get_args(get_type_hints(Method)["family"].__args__[0]):
        raise ContractError(f"{cls.__name__}.family is {cls.family!r}; see benchmark.methods.base.Family")
    if not cls.cost >= 1:
        raise ContractError(f"{cls.__name__}.cost is {cls.cost}; the baseline's passes are 1")
    if not vars(cls).get("__doc__"):
        raise ContractError(f"{cls.__name__} has no docstring; give the formula")
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):  # type: ignore[arg-type]
        if not any(getattr(extra, "description", None) for extra in get_args(hints[field.name])[1:]):
            raise ContractError(f"parameter {field.name} has no description; use Annotated[type, Field(description=…)]")


def check_parameters(method: Method, network: Network) -> None:
    """Parameters are scalars that JSON keeps, and the method is frozen."""
    if json.loads(json.dumps(method.params)) != method.params:
        raise ContractError(f"parameters {method.params} do not survive JSON; use numbers, words, true and false")
    hash(method)


def check_same_seed(method: Method, network: Network) -> None:
    """The same generator state gives the same loss."""
    network, batch = equipped(method, network), make_batch(7)
    first, second = figure(method, network, *batch), figure(method, network, *batch)
    if not torch.equal(first, second):
        raise ContractError(f"losses {float(first)} and {float(second)} from one seed")


def check_arguments(method: Method, network: Network) -> None:
    """Pixels, images, labels, weights and their gradients are as before."""
    network, (pixels, labels) = equipped(method, network), make_batch(7)
    generator = torch.Generator().manual_seed(0)
    before = pixels.clone(), labels.clone()
    views = method.views(pixels, generator)
    images = policy.normalise(views, torch.tensor(120.0), torch.tensor(60.0))
    given, weights = images.clone(), deepcopy(dict(network.named_parameters()))
    progress = Progress(3, 0.5, 0.6, torch.full((CLASSES,), 10))
    method.loss(network, images, labels, progress, generator)
    for name, ok in {
        "the pixels": torch.equal(pixels, before[0]),
        "the images": torch.equal(images, given),
        "the labels": torch.equal(labels, before[1]),
        "the weights": all(torch.equal(p, weights[n]) for n, p in network.named_parameters()),
        "the weights' gradients": all(p.grad is None for p in network.parameters()),
        "progress.class_counts": torch.equal(progress.class_counts, torch.full((CLASSES,), 10)),
    }.items():
        if not ok:
            raise ContractError(f"{name} were altered; work on a copy")


def check_randomness(method: Method, network: Network) -> None:
    """Global random states are neither read nor moved, and the generator is."""
    losses = []
    for state in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(state)
            numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002, it is what is watched
            np.random.seed(state)  # noqa: NPY002
            random.seed(state)
            try:
                before = _global_states()
                losses.append(figure(method, equipped(method, network), *make_batch(7)))
                if _global_states() != before:
                    raise ContractError("the global random state of torch, NumPy or Python moved; draw from `rng`")
            finally:
                np.random.set_state(numpy_state)  # noqa: NPY002
                random.setstate(python_state)
    if not torch.equal(losses[0], losses[1]):
        raise ContractError("the loss depends on a global random state; draw from `rng`")


def _global_states() -> tuple[bytes, str, int]:
    state = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), str(state), hash(random.getstate())


def check_batch_sizes(method: Method, network: Network) -> None:
    """Batches of 1, 2, 7 and 64 give a finite scalar."""
    network = equipped(method, network)
    for size in BATCH_SIZES:
        _finite_scalar(figure(method, network, *make_batch(size)), f"a batch of {size}")


def check_one_class(method: Method, network: Network) -> None:
    """So does a batch of one class."""
    pixels, labels = make_batch(5)
    _finite_scalar(figure(method, equipped(method, network), pixels, labels * 0), "a batch of one class")


def check_non_square(method: Method, network: Network) -> None:
    """And images wider than high."""
    batch = make_batch(5, EDGE, EDGE + 16)
    for seed in SEEDS:
        _finite_scalar(figure(method, equipped(method, network), *batch, seed), "32 x 48 images")


def check_tiny(method: Method, family: str) -> None:
    """And grey images of 8 pixels, the digits of the quickstart."""
    network = equipped(method, network_of(family, channels=1, edge=8))
    for seed in SEEDS:
        _finite_scalar(figure(method, network, *make_batch(5, 8, 8, channels=1), seed), "grey 8 x 8 images")


def _finite_scalar(loss: Tensor, of: str) -> None:
    if loss.shape != ():
        raise ContractError(f"the loss of {of} has shape {tuple(loss.shape)}; expected a scalar")
    if not torch.isfinite(loss):
        raise ContractError(f"the loss of {of} is {float(loss)}")


def check_views(method: Method, network: Network) -> None:
    """Views are a whole number of batches of pixels in [0, 255], uint8 or float32."""
    pixels, _ = make_batch(7)
    for seed in SEEDS:
        views = method.views(pixels, torch.Generator().manual_seed(seed))
        if views.shape[1:] != pixels.shape[1:] or len(views) % len(pixels) or not len(views):
            raise ContractError(
                f"views of {tuple(pixels.shape)} have shape {tuple(views.shape)}; expected (V * B, C, H, W)"
            )
        if views.dtype not in (torch.uint8, torch.float32):
            raise ContractError(f"views are {views.dtype}; expected uint8 or float32")
        if views.min() < 0 or views.max() > 255:
            raise ContractError(f"views reach [{float(views.min())}, {float(views.max())}]; expected [0, 255]")


def check_targets(method: Method, network: Network) -> None:
    """Mixed targets are not negative and sum to 1; images keep their shape and type."""
    pixels, labels = make_batch(9)
    images = policy.normalise(pixels, torch.tensor(120.0), torch.tensor(60.0))
    for seed in SEEDS:
        mixed, targets = _mix(method, images, one_hot(labels, CLASSES), torch.Generator().manual_seed(seed))
        if mixed.shape != images.shape or mixed.dtype != images.dtype:
            raise ContractError(f"mixed images are {tuple(mixed.shape)} {mixed.dtype}, given {tuple(images.shape)}")
        error = float((targets.sum(dim=1) - 1).abs().max())
        if targets.min() < 0 or error > 1e-5:
            raise ContractError(f"targets from {float(targets.min())}, sums off 1 by up to {error}")


def _mix(method: Method, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
    if isinstance(method, InputMethod):
        return method.mix(images, targets, rng)
    if isinstance(method, SaliencyMethod):
        saliency = images.square().mean(dim=1)
        return method.mix(images, targets, saliency, rng)
    return images, targets  # a method with a loss of its own hands out no targets


def check_precision(method: Method, network: Network) -> None:
    """Under bf16 autocast the loss is float32 and near the fp32 one."""
    network, batch = equipped(method, network), make_batch(16)
    full = figure(method, network, *batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = figure(method, network, *batch)
    if full.dtype != torch.float32 or half.dtype != torch.float32:
        raise ContractError(f"the loss is {full.dtype} in fp32 and {half.dtype} in bf16; expected float32")
    if not math.isclose(float(full), float(half), rel_tol=0.05, abs_tol=0.05):  # bf16 keeps 8 bits
        raise ContractError(f"the loss is {float(full):.4f} in fp32 and {float(half):.4f} in bf16")


def check_learning(method: Method, network: Network) -> None:
    """Two steps of gradient descent lower the loss of one batch and one seed."""
    network, batch = equipped(method, network).train(), make_batch(16)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02)
    losses = []
    for _ in range(3):
        loss = run(method, network, *batch)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if not losses[2] < losses[0]:
        raise ContractError(f"the loss went from {losses[0]:.4f} to {losses[2]:.4f} in two steps")


def check_diagnostics(method: Method, network: Network) -> None:
    """Diagnostics are finite figures under names of their own."""
    progress = Progress(epoch=3, fraction=0.5, train_acc=0.6, class_counts=torch.full((CLASSES,), 10))
    for name, value in method.diagnostics(progress).items():
        if name in HISTORY_COLUMNS:
            raise ContractError(f"the diagnostic {name!r} is a column of history.csv; rename it")
        if not math.isfinite(value):
            raise ContractError(f"the diagnostic {name!r} is {value}")


def check_gradients(method: Method, network: Network) -> None:
    """Every parameter the baseline trains gets a finite gradient."""
    wanted, given = _gradients(Baseline(), network), _gradients(method, network)
    if missing := sorted(wanted.keys() - given.keys()):
        raise ContractError(f"no gradient reaches {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}")
    if broken := sorted(name for name, gradient in given.items() if not torch.isfinite(gradient).all()):
        raise ContractError(f"gradients of {', '.join(broken[:5])} are not finite")


def _gradients(method: Method, network: Network) -> dict[str, Tensor]:
    network = equipped(method, network).train()
    run(method, network, *make_batch(6)).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


CHECKS: Mapping[str, Callable[[Method, Network], None]] = MappingProxyType(
    {
        "says what it is": check_description,
        "parameters are plain values": check_parameters,
        "same seed, same loss": check_same_seed,
        "arguments untouched": check_arguments,
        "all randomness from rng": check_randomness,
        "batches of 1, 2, 7, 64": check_batch_sizes,
        "a batch of one class": check_one_class,
        "views are pixels": check_views,
        "targets keep mass 1": check_targets,
        "fp32 and bf16": check_precision,
        "two steps lower the loss": check_learning,
        "diagnostics are figures": check_diagnostics,
    }
)
