"""Mixup (Zhang et al., ICLR 2018, arXiv:1710.09412)."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, interpolate, parameters


@parameters
class Mixup(InputMethod):
    """x~ = lam x_i + (1 - lam) x_j, targets likewise; one lam ~ Beta(alpha, alpha) and one permutation per batch."""

    title: ClassVar[str] = "Mixup"
    paper: ClassVar[str] = "Zhang et al., ICLR 2018, arXiv:1710.09412"
    year: ClassVar[int] = 2018
    family: ClassVar[Family] = "input mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 on CIFAR in the paper")] = 1.0

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Interpolated images and targets."""
        lam = draws.beta(self.alpha, rng)
        order = draws.permutation(len(images), rng, images.device)
        return interpolate(images, order, lam), interpolate(targets, order, lam)
