"""The contract of an augmentation method: it turns a batch into a loss and never owns the loop.

A method is one file in this folder with one frozen dataclass of parameters. It works on any device, in any
precision and for any batch size, draws all its randomness from the generator it is given, and alters no argument.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated
from torch import Generator, Tensor

from benchmark.backbones import Network
from benchmark.schema import Scalar

Family = Literal["control", "input mixing", "feature mixing"]

# Decorates every method: a frozen dataclass whose fields are checked against their ranges when it is made.
parameters = validated(frozen=True, config=ConfigDict(extra="forbid"))


@dataclass(frozen=True)
class Progress:
    """Where training stands.

    Attributes:
        epoch: from 0.
        fraction: of all steps done, in [0, 1).
        train_acc: coarse accuracy on clean training images at the end of the previous epoch, in [0, 1]; 0 in the
            first. Measured in evaluation mode on a fixed subset, the same for every method.
    """

    epoch: int
    fraction: float
    train_acc: float


class Method(ABC):
    """An augmentation method. Subclasses are decorated with `@parameters`.

    Attributes:
        title: name in tables and lists.
        paper: where it comes from, e.g. "Zhang et al., ICLR 2018, arXiv:1710.09412".
        year: of the paper.
        family: what it acts on.
        cost: forward and backward passes of the backbone per step, relative to the baseline.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    year: ClassVar[int]
    family: ClassVar[Family]
    cost: ClassVar[float] = 1.0

    @abstractmethod
    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """The training loss of a batch, a scalar.

        Args:
            network: features, hidden stages and head.
            images: (B, C, H, W) float, normalised, B >= 1.
            labels: (B,) int64 coarse labels in [0, K).
            progress: where training stands.
            rng: on the CPU; the only source of randomness.
        """

    def diagnostics(self, progress: Progress) -> Mapping[str, float]:
        """Figures for history.csv at the start of an epoch, e.g. the mixing ratio in force."""
        return {}

    @property
    def params(self) -> dict[str, Scalar]:
        """All parameters by name."""
        return dict(vars(self))


class InputMethod(Method):
    """A method that changes images and targets before an ordinary cross-entropy."""

    @abstractmethod
    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """New images and targets.

        Args:
            images: (B, C, H, W) float, normalised.
            targets: (B, K) float, rows non-negative with sum 1.
            rng: on the CPU.

        Returns:
            Tensors of the same shapes; the rows of the targets sum to 1.
        """

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of the mixed images against the mixed targets."""
        mixed, targets = self.mix(images, one_hot(labels, network.num_classes), rng)
        return soft_cross_entropy(network(mixed), targets)


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """(B,) int64 -> (B, K) float32."""
    return F.one_hot(labels, num_classes).float()


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -sum_k t_k log softmax(z)_k; logits (B, K), targets (B, K), in float32."""
    return -(targets * F.log_softmax(logits.float(), dim=1)).sum(dim=1).mean()


def interpolate(values: Tensor, order: Tensor, lam: float) -> Tensor:
    """Lam * v_i + (1 - lam) * v_order(i) along the first dimension."""
    return torch.lerp(values[order], values, lam)
