"""SmoothMix (Lee, Zaheer, Astrid, Lee, CVPR Workshops 2020)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, parameters
from benchmark.methods.shared.masks import mix_by_mask


@parameters
class SmoothMix(InputMethod):
    """x~ = G x_i + (1 - G) x_j, targets likewise with lam = sum G / (H W); G is a Gaussian bump of height 1.

    Its centre is a uniform pixel, its width sigma ~ U(sigma_min, sigma_max) of the image's edges; one per batch. This
    is the paper's round mask; its range of sigma could not be checked and is OpenMixup's.
    """

    title: ClassVar[str] = "SmoothMix"
    paper: ClassVar[str] = "Lee et al., CVPR Workshops 2020"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "input mixing"

    sigma_min: Annotated[float, Field(gt=0, description="least width, share of the edge; 0.25 in OpenMixup")] = 0.25
    sigma_max: Annotated[float, Field(gt=0, description="greatest width, share of the edge; 0.5 in OpenMixup")] = 0.5

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images that fade into each other and targets weighted by the mask's mean."""
        sigma = self.sigma_min + (self.sigma_max - self.sigma_min) * draws.uniform(rng)
        rows, columns = (_bump(edge, sigma, rng) for edge in images.shape[2:])
        order = draws.permutation(len(images), rng, images.device)
        return mix_by_mask(images, targets, order, torch.outer(rows, columns))


def _bump(edge: int, sigma: float, rng: Generator) -> Tensor:
    """exp(-(p - mu)^2 / (2 (sigma edge)^2)) over the pixels p of an edge, mu one of them; (edge,) float64."""
    pixels = torch.arange(edge, dtype=torch.float64)
    return torch.exp(-((pixels - int(draws.uniform(rng) * edge)) / (sigma * edge)).square() / 2)
