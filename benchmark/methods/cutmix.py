"""CutMix (Yun et al., ICCV 2019, arXiv:1905.04899)."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, interpolate, parameters
from benchmark.methods.shared.boxes import paste, random_box


@parameters
class CutMix(InputMethod):
    """A box of area share 1 - lam is pasted from x_j into x_i; targets are weighted by the pixels each one keeps.

    lam ~ Beta(alpha, alpha); the box's centre is uniform over the image and its edges are clipped to it.
    """

    title: ClassVar[str] = "CutMix"
    paper: ClassVar[str] = "Yun et al., ICCV 2019, arXiv:1905.04899"
    year: ClassVar[int] = 2019
    family: ClassVar[Family] = "input mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha)")] = 1.0
    probability: Annotated[
        float, Field(ge=0, le=1, description="share of batches that are mixed; 0.5 on CIFAR in the paper")
    ] = 0.5

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images with a pasted box and area-weighted targets; the batch as it is with chance 1 - probability."""
        if draws.uniform(rng) >= self.probability:
            return images, targets
        height, width = images.shape[2:]
        box = random_box(height, width, 1 - draws.beta(self.alpha, rng), rng)
        order = draws.permutation(len(images), rng, images.device)
        return paste(images, order, box), interpolate(targets, order, 1 - box.share(height, width))
