"""Mixup or CutMix by a coin, as timm mixes and DeiT trains (Touvron et al., ICML 2021, arXiv:2012.12877)."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, interpolate, parameters
from benchmark.methods.shared.boxes import paste, random_box


@parameters
class MixupCutMix(InputMethod):
    """Each batch: CutMix with lam ~ Beta(cutmix_alpha) if u < switch_probability, else mixup, Beta(mixup_alpha).

    u ~ U(0, 1). timm pairs image i with image B - 1 - i; here a random permutation pairs them, as everywhere. DeiT's
    label smoothing of 0.1 is not part of the method.
    """

    title: ClassVar[str] = "Mixup or CutMix"
    paper: ClassVar[str] = "timm; Touvron et al., ICML 2021, arXiv:2012.12877"
    year: ClassVar[int] = 2021
    family: ClassVar[Family] = "input mixing"

    mixup_alpha: Annotated[float, Field(ge=0.01, description="of mixup's Beta(alpha, alpha); 0.8 in DeiT")] = 0.8
    cutmix_alpha: Annotated[float, Field(ge=0.01, description="of CutMix's Beta(alpha, alpha); 1 in DeiT")] = 1.0
    switch_probability: Annotated[
        float, Field(ge=0, le=1, description="share of batches that CutMix mixes; 0.5 in timm and DeiT")
    ] = 0.5

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images and targets mixed by one of the two."""
        cut = draws.uniform(rng) < self.switch_probability
        lam = draws.beta(self.cutmix_alpha if cut else self.mixup_alpha, rng)
        order = draws.permutation(len(images), rng, images.device)
        if not cut:
            return interpolate(images, order, lam), interpolate(targets, order, lam)
        height, width = images.shape[2:]
        box = random_box(height, width, 1 - lam, rng)
        return paste(images, order, box), interpolate(targets, order, 1 - box.share(height, width))
