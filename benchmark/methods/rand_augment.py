"""RandAugment (Cubuk et al., NeurIPS 2020, arXiv:1909.13719)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, parameters
from benchmark.methods.shared import image_policy
from benchmark.methods.shared.image_policy import LEVELS, Op

CPU = torch.device("cpu")
SHIFT = 150 / 331  # largest translation over the edge: AutoAugment's 150 of 331 px


@parameters
class RandAugment(InputMethod):
    """N operations one after another for each image, each uniform out of fourteen, all at magnitude M of 30.

    Operations and strengths are those of torchvision's RandAugment on tensors: a blend's factor lies 0.9 M / 30 to
    either side of 1, while in the paper's code it runs from 0.1 to 1.9. The paper adds Cutout on CIFAR; here it is a
    method of its own.
    """

    title: ClassVar[str] = "RandAugment"
    paper: ClassVar[str] = "Cubuk et al., NeurIPS 2020, arXiv:1909.13719"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "image policy"

    operations: Annotated[
        int, Field(ge=0, le=10, description="N, applied to each image; 2 on CIFAR-100 in the paper (WRN-28-10)")
    ] = 2
    magnitude: Annotated[
        int, Field(ge=0, lt=LEVELS, description="M, from none to 30; 14 on CIFAR-100 in the paper (WRN-28-10)")
    ] = 14

    def views(self, images: Tensor, rng: Generator) -> Tensor:
        """Pixels after N operations each."""
        batch, _, height, width = images.shape
        shift = (SHIFT * width, SHIFT * height)
        table = image_policy.strengths(shear=0.3, shift=shift, degrees=30, blend=0.9, bits=4)
        for _ in range(self.operations):
            ops = draws.integers(len(Op), (batch,), rng, CPU)
            negative = draws.uniforms((batch,), rng, CPU) < 0.5
            values = image_policy.signed(ops, table[ops, self.magnitude], negative)
            images = image_policy.apply(images, ops, values)
        return images

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """The batch as it is: `views` has changed it already."""
        return images, targets
