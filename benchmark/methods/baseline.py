"""Empirical risk minimisation: cross-entropy on clean images. The control of every comparison."""

from typing import ClassVar

from torch import Generator, Tensor

from benchmark.methods.base import Family, InputMethod, parameters


@parameters
class Baseline(InputMethod):
    """L = CE(g(h(x)), y)."""

    title: ClassVar[str] = "Baseline"
    paper: ClassVar[str] = "empirical risk minimisation; Vapnik, NeurIPS 1991"
    year: ClassVar[int] = 1991
    family: ClassVar[Family] = "control"

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images and targets as they are."""
        return images, targets
