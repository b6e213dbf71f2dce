"""FMix (Harris et al. 2020, arXiv:2002.12047)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, parameters
from benchmark.methods.shared.masks import mix_by_mask


@parameters
class FMix(InputMethod):
    """x~ = M x_i + (1 - M) x_j, targets by the pixels; M is 1 where low-frequency noise is among its highest lam share.

    The noise is the real inverse transform of complex normal noise over |frequency|^decay; lam ~ Beta(alpha, alpha),
    one mask per batch. The official code reads the noise's real and imaginary parts as neighbouring frequencies,
    rounds lam H W up or down by a coin, and weights targets by lam before rounding; here it is rounded to the nearest.
    """

    title: ClassVar[str] = "FMix"
    paper: ClassVar[str] = "Harris et al. 2020, arXiv:2002.12047"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "input mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 in the official code")] = 1.0
    decay: Annotated[float, Field(ge=0, description="power at which frequencies fade; 3 in the official code")] = 3.0

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images in patches of two and area-weighted targets."""
        height, width = images.shape[2:]
        lam = draws.beta(self.alpha, rng)
        mask = highest(low_frequency_noise(height, width, self.decay, rng), lam)
        return mix_by_mask(images, targets, draws.permutation(len(images), rng, images.device), mask)


def low_frequency_noise(height: int, width: int, decay: float, rng: Generator) -> Tensor:
    """Noise whose spectrum falls off as |f|^-decay, |f| at least one cycle over the longer edge; (H, W) float64.

    Source: `make_low_freq_image` of the official code. Always on the CPU, so that rounding gives one device no other
    mask than the next.
    """
    parts = torch.randn(height, width // 2 + 1, 2, generator=rng, dtype=torch.float64)
    frequency = torch.hypot(
        torch.fft.fftfreq(height, dtype=torch.float64)[:, None], torch.fft.rfftfreq(width, dtype=torch.float64)
    ).clamp(min=1 / max(height, width))
    noise: Tensor = torch.fft.irfft2(torch.view_as_complex(parts) / frequency**decay, s=(height, width))
    return noise


def highest(noise: Tensor, lam: float) -> Tensor:
    """1 at the round(lam H W) highest places of the noise, else 0; (H, W) float64."""
    mask = torch.zeros(noise.numel(), dtype=torch.float64)
    mask[noise.flatten().topk(round(lam * noise.numel())).indices] = 1
    return mask.view_as(noise)
