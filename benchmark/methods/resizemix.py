"""ResizeMix (Qin et al. 2020, arXiv:2012.11101)."""

from typing import Annotated, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, interpolate, parameters
from benchmark.methods.shared.boxes import Box


@parameters
class ResizeMix(InputMethod):
    """The whole of x_j, resized by tau ~ U(scale_min, scale_max), is pasted into x_i; targets by the pixels.

    The patch, tau H x tau W and at least 1 px, lies wholly inside the image at a uniform place; one tau and one place
    per batch. How the paper resizes could not be checked; here bilinearly with antialiasing.
    """

    title: ClassVar[str] = "ResizeMix"
    paper: ClassVar[str] = "Qin et al. 2020, arXiv:2012.11101"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "input mixing"

    scale_min: Annotated[float, Field(gt=0, le=1, description="least edge of the patch, share of the image's")] = 0.1
    scale_max: Annotated[float, Field(gt=0, le=1, description="greatest edge of it; 0.1 to 0.8 in OpenMixup")] = 0.8

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images with a small image pasted in and area-weighted targets."""
        height, width = images.shape[2:]
        box = self._place(height, width, rng)
        order = draws.permutation(len(images), rng, images.device)
        size = (box.bottom - box.top, box.right - box.left)
        mixed = images.clone()
        mixed[:, :, box.top : box.bottom, box.left : box.right] = F.interpolate(
            images[order], size, mode="bilinear", antialias=True
        )
        return mixed, interpolate(targets, order, 1 - box.share(height, width))

    def _place(self, height: int, width: int, rng: Generator) -> Box:
        """Where the patch goes."""
        tau = self.scale_min + (self.scale_max - self.scale_min) * draws.uniform(rng)
        rows, columns = max(int(height * tau), 1), max(int(width * tau), 1)
        top = int(draws.uniform(rng) * (height - rows + 1))
        left = int(draws.uniform(rng) * (width - columns + 1))
        return Box(top, top + rows, left, left + columns)
