"""The contract of an augmentation method: it turns a batch into a loss and never owns the loop.

A method is one file in this folder with one frozen dataclass of parameters. It works on any device, in any
precision and for any batch size, draws all its randomness from the generator it is given, and alters no argument.
The loop calls four things and knows no method by name:

    check(network)                  when a sweep is planned: can this method train this backbone?
    auxiliary(network, rng)         once: trainable parts of the method's own, e.g. a projection head
    views(images, rng)              each step: pixels before normalisation, e.g. an image policy or two views
    loss(network, images, ...)      each step: the rest

Most methods override `loss` alone, or `mix` of one of the two shorter bases below it. What several methods share lies
in `shared/`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated
from torch import Generator, Tensor, nn

from benchmark.backbones import Network
from benchmark.schema import Scalar

Family = Literal["control", "image policy", "input mixing", "feature mixing", "contrastive"]

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
        class_counts: (K,) int64, training images of each coarse class, on the device of the images.
    """

    epoch: int
    fraction: float
    train_acc: float
    class_counts: Tensor


class Method(ABC):
    """An augmentation method. Subclasses are decorated with `@parameters`.

    Attributes:
        title: name in tables and lists.
        paper: where it comes from, e.g. "Zhang et al., ICLR 2018, arXiv:1710.09412".
        year: of the paper.
        family: what it acts on.
        cost: passes of the backbone per step relative to the baseline's one forward and one backward, where a
            backward pass to the weights counts as two forward ones, and one to the images alone as one.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    year: ClassVar[int]
    family: ClassVar[Family]
    cost: ClassVar[float] = 1.0

    def check(self, network: Network) -> None:
        """Nothing if the method can train such a network; called before any training.

        Raises:
            InputError: saying what the method needs of a backbone, and one that has it.
        """
        return

    def auxiliary(self, network: Network, rng: Generator) -> nn.Module | None:
        """Trainable parts of the method's own, from then on at `network.auxiliary`; none unless overridden.

        The optimiser trains them, the probes never see them. Their initial weights come from `rng` too: see
        `shared.modules.seeded`.
        """
        return None

    def views(self, images: Tensor, rng: Generator) -> Tensor:
        """Pixels of the step, before normalisation: as they are, unless overridden.

        Args:
            images: (B, C, H, W) uint8, cropped and flipped by the recipe's policy as for every method.
            rng: on the CPU.

        Returns:
            (V * B, C, H, W) in [0, 255], uint8 or float32: V views of every image, view by view.
        """
        return images

    @abstractmethod
    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """The training loss of a batch, a scalar.

        Args:
            network: features, hidden stages and head.
            images: (B, C, H, W) float, normalised, B >= 1; (V * B, C, H, W) where `views` makes V of each image.
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
        mixed, targets = self.mix(images, one_hot(labels, network.num_classes, images.dtype), rng)
        return soft_cross_entropy(network(mixed), targets)


class SaliencyMethod(Method):
    """A method that mixes images by where the network looks, before an ordinary cross-entropy.

    Saliency is the gradient of the clean cross-entropy by the image: one more forward pass, and a backward one to the
    images alone.
    """

    cost: ClassVar[float] = 5 / 3

    @abstractmethod
    def mix(self, images: Tensor, targets: Tensor, saliency: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """New images and targets.

        Args:
            images: (B, C, H, W) float, normalised.
            targets: (B, K) float, rows non-negative with sum 1.
            saliency: (B, H, W) float32, >= 0.
            rng: on the CPU.

        Returns:
            Tensors shaped as images and targets; the rows of the targets sum to 1.
        """

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of the mixed images against the mixed targets."""
        targets = one_hot(labels, network.num_classes, images.dtype)
        mixed, targets = self.mix(images, targets, input_saliency(network, images, targets), rng)
        return soft_cross_entropy(network(mixed), targets)


def input_saliency(network: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Root mean square over channels of the gradient of the clean cross-entropy by the pixels, (B, H, W), >= 0.

    The gradients of the weights are left alone. Source: Kim, Choo, Song, ICML 2020 (PuzzleMix), section 4.
    """
    with torch.enable_grad():
        pixels = images.detach().requires_grad_()
        loss = soft_cross_entropy(network(pixels), targets)
        (gradient,) = torch.autograd.grad(loss, pixels)
    return gradient.square().mean(dim=1).sqrt()


def one_hot(labels: Tensor, num_classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B,) int64 -> (B, K) float."""
    return F.one_hot(labels, num_classes).to(dtype)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -sum_k t_k log softmax(z)_k; logits (B, K), targets (B, K)."""
    return -(targets * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def interpolate(values: Tensor, order: Tensor, lam: float) -> Tensor:
    """Lam * v_i + (1 - lam) * v_order(i) along the first dimension; `order` is a permutation."""
    return torch.lerp(permuted(values, order), values, lam)


def interpolate_each(values: Tensor, order: Tensor, lam: Tensor) -> Tensor:
    """The same with a lam for each image, (B,)."""
    return torch.lerp(permuted(values, order), values, lam.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1)))


def permuted(values: Tensor, order: Tensor) -> Tensor:
    """values[order] for a permutation, with a gradient that is gathered too.

    Autograd does not know that no element is taken twice and adds the gradient up one by one, which takes longer than
    all else a hidden-stage method does.
    """
    result: Tensor = _Permuted.apply(values, order)
    return result


class _Permuted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return _taken(values, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return _taken(gradients[0], order.argsort()), None


def _taken(values: Tensor, order: Tensor) -> Tensor:
    """values[order] in the same memory layout; left alone, torch takes channels_last maps number by number."""
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return values.permute(0, 2, 3, 1).index_select(0, order).permute(0, 3, 1, 2)
    return values.index_select(0, order)
