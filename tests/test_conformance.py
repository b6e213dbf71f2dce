"""The conformance kit: every method keeps the contract, and every check catches one that does not."""

import random
import re
from typing import Annotated, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import Field

from benchmark import conformance, registry
from benchmark.methods.base import InputMethod, SaliencyMethod, parameters


@pytest.mark.parametrize("name", sorted(registry.methods()))
def test_keeps_the_contract(name):
    findings = list(conformance.examine(registry.method(name, {})))
    assert [f"{finding.title}: {finding.problem}" for finding in findings if finding.problem] == []
    assert sum(not finding.skipped for finding in findings) >= 13


@parameters
class Plain(InputMethod):
    """Nothing wrong with it."""

    title: ClassVar[str] = "Plain"
    paper: ClassVar[str] = "none"
    year: ClassVar[int] = 2026
    family: ClassVar[str] = "input mixing"

    def mix(self, images, targets, rng):
        return images, targets


@parameters
class NoDescription(Plain):
    """One of its parameters is a riddle."""

    strength: float = 1.0


@parameters
class WrongFamily(Plain):
    """Of no family."""

    family: ClassVar[str] = "magic"


@parameters
class TooCheap(Plain):
    """Cheaper than the baseline."""

    cost: ClassVar[float] = 0.5


@parameters
class ListParameter(Plain):
    """A parameter that JSON turns into something else."""

    sizes: Annotated[tuple[int, ...], Field(description="of boxes")] = (1, 2)


@parameters
class GlobalNoise(Plain):
    """Draws from torch's global state."""

    def mix(self, images, targets, rng):
        return images + torch.randn_like(images), targets


@parameters
class PythonNoise(Plain):
    """Draws from Python's global state."""

    def mix(self, images, targets, rng):
        return images * (1 + random.random()), targets


@parameters
class NumpyNoise(Plain):
    """Draws from NumPy's global state."""

    def mix(self, images, targets, rng):
        return images * (1 + np.random.random()), targets  # noqa: NPY002


@parameters
class Forgetful(Plain):
    """Ignores the generator's state: another loss each time."""

    calls: ClassVar[list[int]] = []

    def mix(self, images, targets, rng):
        self.calls.append(0)
        return images * len(self.calls), targets


@parameters
class InPlace(Plain):
    """Writes into the images."""

    def mix(self, images, targets, rng):
        return images.add_(1), targets


@parameters
class LeavesGradients(Plain):
    """Leaves gradients at the weights behind."""

    def loss(self, network, images, labels, progress, rng):
        F.cross_entropy(network(images), labels).backward()
        return F.cross_entropy(network(images), labels)


@parameters
class EvenOnly(Plain):
    """Halves the batch."""

    def mix(self, images, targets, rng):
        first, second = images.chunk(2)
        return torch.cat([second, first]) + torch.cat([first, second]), targets


@parameters
class NeedsTwoClasses(Plain):
    """Divides by the number of pairs of different classes."""

    def loss(self, network, images, labels, progress, rng):
        return F.cross_entropy(network(images), labels) / (labels != labels.flip(0)).any()


@parameters
class ScaledViews(Plain):
    """Views that are no pixels any more."""

    def views(self, images, rng):
        return images.float() * 2


@parameters
class HalfViews(Plain):
    """Half a batch."""

    def views(self, images, rng):
        return images[: len(images) // 2]


@parameters
class HeavyTargets(Plain):
    """Targets of mass two."""

    def mix(self, images, targets, rng):
        return images, 2 * targets


@parameters
class NegativeTargets(SaliencyMethod):
    """Targets below zero."""

    title: ClassVar[str] = "Negative"
    paper: ClassVar[str] = "none"
    year: ClassVar[int] = 2026
    family: ClassVar[str] = "input mixing"

    def mix(self, images, targets, saliency, rng):
        return images, 2 * targets - targets.flip(0)


@parameters
class HalfPrecision(Plain):
    """Rounds its loss to bf16."""

    def loss(self, network, images, labels, progress, rng):
        return F.cross_entropy(network(images), labels).bfloat16()


@parameters
class Uphill(Plain):
    """Maximises the cross-entropy but reports it."""

    def loss(self, network, images, labels, progress, rng):
        loss = F.cross_entropy(network(images), labels)
        return 2 * loss.detach() - loss


@parameters
class LoudDiagnostics(Plain):
    """Overwrites a column of history.csv."""

    def diagnostics(self, progress):
        return {"loss": 0.0}


@parameters
class BrokenDiagnostics(Plain):
    """A figure that is none."""

    def diagnostics(self, progress):
        return {"lam": float("nan")}


@parameters
class HeadOnly(Plain):
    """Never trains the encoder."""

    def loss(self, network, images, labels, progress, rng):
        return F.cross_entropy(network.classify(network.features(images).detach()), labels)


@parameters
class SquareOnly(Plain):
    """Transposes the images."""

    def mix(self, images, targets, rng):
        return images + images.transpose(2, 3), targets


@parameters
class LargeOnly(Plain):
    """Cuts a box of 16 pixels."""

    def mix(self, images, targets, rng):
        return images + F.interpolate(images[:, :, 8:24, 8:24], images.shape[2:]), targets


@parameters
class VectorLoss(Plain):
    """One loss for each image."""

    def loss(self, network, images, labels, progress, rng):
        return F.cross_entropy(network(images), labels, reduction="none")


@pytest.mark.parametrize(
    ("method", "title", "problem"),
    [
        (NoDescription, "says what it is", "strength has no description"),
        (WrongFamily, "says what it is", "family is 'magic'"),
        (TooCheap, "says what it is", "cost is 0.5"),
        (ListParameter, "parameters are plain values", "do not survive JSON"),
        (GlobalNoise, "all randomness from rng", "torch, NumPy or Python moved"),
        (PythonNoise, "all randomness from rng", "torch, NumPy or Python moved"),
        (NumpyNoise, "all randomness from rng", "torch, NumPy or Python moved"),
        (Forgetful, "same seed, same loss", "from one seed"),
        (InPlace, "arguments untouched", "the images were altered"),
        (LeavesGradients, "arguments untouched", "the weights' gradients were altered"),
        (EvenOnly, "batches of 1, 2, 7, 64", "ValueError|RuntimeError"),
        (NeedsTwoClasses, "a batch of one class", "is inf"),
        (ScaledViews, "views are pixels", r"expected \[0, 255\]"),
        (HalfViews, "views are pixels", r"expected \(V \* B, C, H, W\)"),
        (HeavyTargets, "targets keep mass 1", "sums off 1 by up to 1.0"),
        (NegativeTargets, "targets keep mass 1", "targets from -1.0"),
        (HalfPrecision, "fp32 and bf16", "expected float32"),
        (Uphill, "two steps lower the loss", "in two steps"),
        (LoudDiagnostics, "diagnostics are figures", "column of history.csv"),
        (BrokenDiagnostics, "diagnostics are figures", "is nan"),
        (HeadOnly, "ViT: finite gradients to every parameter the baseline trains", "no gradient reaches model"),
        (SquareOnly, "images that are not square", r"RuntimeError: .*test_conformance.py:\d+"),
        (LargeOnly, "grey images of 8 pixels", r"RuntimeError: .*\.py:\d+"),
        (VectorLoss, "batches of 1, 2, 7, 64", r"has shape \(1,\)"),
    ],
)
def test_a_broken_promise_is_found(method, title, problem):
    (finding,) = [finding for finding in conformance.examine(method()) if finding.title == title]
    assert re.search(problem, finding.problem), finding.problem


def test_a_method_without_a_fault_passes():
    assert not any(finding.problem for finding in conformance.examine(Plain()))
