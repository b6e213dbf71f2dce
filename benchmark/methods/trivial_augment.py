"""TrivialAugment (Müller, Hutter, ICCV 2021, arXiv:2103.10158)."""

from typing import ClassVar

import torch
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, parameters
from benchmark.methods.shared import image_policy
from benchmark.methods.shared.image_policy import LEVELS, Op

CPU = torch.device("cpu")
SHIFT = 32  # largest translation, pixels: the images of the paper are 32 px


@parameters
class TrivialAugment(InputMethod):
    """One of fourteen operations for each image, at one of 31 strengths, all uniform: the wide space, TA (Wide).

    Operations, strengths and sampling are those of torchvision's TrivialAugmentWide on tensors, not of PIL; images
    below 32 px are shifted by their own edge at most instead of 32 px, which would leave them black.
    """

    title: ClassVar[str] = "TrivialAugment"
    paper: ClassVar[str] = "Müller, Hutter, ICCV 2021, arXiv:2103.10158"
    year: ClassVar[int] = 2021
    family: ClassVar[Family] = "image policy"

    def views(self, images: Tensor, rng: Generator) -> Tensor:
        """Pixels after one operation each."""
        batch, _, height, width = images.shape
        ops = draws.integers(len(Op), (batch,), rng, CPU)
        levels = draws.integers(LEVELS, (batch,), rng, CPU)
        negative = draws.uniforms((batch,), rng, CPU) < 0.5
        shift = (min(width, SHIFT), min(height, SHIFT))
        table = image_policy.strengths(shear=0.99, shift=shift, degrees=135, blend=0.99, bits=6)
        return image_policy.apply(images, ops, image_policy.signed(ops, table[ops, levels], negative))

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """The batch as it is: `views` has changed it already."""
        return images, targets
