"""GridMix (Baek, Bang, Shim, Pattern Recognition 109, 2021), its grid-based mixing alone."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, parameters
from benchmark.methods.shared.masks import mix_by_mask


@parameters
class GridMix(InputMethod):
    """x~ = M x_i + (1 - M) x_j, where M keeps round(lam n^2) random cells of an n x n grid; targets by the pixels.

    lam ~ Beta(alpha, alpha), one mask per batch. Written from the abstract: how lam and the cells are drawn, n and
    alpha could not be checked, and the paper's second part, a loss on the label of every patch, is left out. The
    code OpenMixup gives for GridMix cuts a regular grid of holes instead.
    """

    title: ClassVar[str] = "GridMix (mixing only)"
    paper: ClassVar[str] = "Baek, Bang, Shim, Pattern Recognition 109, 2021; reconstruction of the mixing"
    year: ClassVar[int] = 2021
    family: ClassVar[Family] = "input mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 in OpenMixup")] = 1.0
    cells: Annotated[int, Field(ge=1, le=8, description="n, cells along an edge; 8 px each at 32 px, our choice")] = 4

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images whose cells come from two, and area-weighted targets."""
        height, width = images.shape[2:]
        mask = grid_mask(height, width, self.cells, draws.beta(self.alpha, rng), rng)
        return mix_by_mask(images, targets, draws.permutation(len(images), rng, images.device), mask)


def grid_mask(height: int, width: int, cells: int, lam: float, rng: Generator) -> Tensor:
    """1 in round(lam n^2) random cells of an n x n grid, else 0; (H, W) float64.

    Cells differ by a pixel where n does not divide the edge. Over the draws every pixel is 1 with chance
    round(lam n^2) / n^2.
    """
    kept = torch.zeros(cells**2, dtype=torch.float64)
    kept[torch.randperm(cells**2, generator=rng)[: round(lam * cells**2)]] = 1
    rows, columns = (torch.arange(edge) * cells // edge for edge in (height, width))
    return kept.view(cells, cells)[rows][:, columns]
