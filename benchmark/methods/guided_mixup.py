"""GuidedMixup with spectral residuals (Kang & Kim, AAAI 2023, arXiv:2306.16612)."""

from math import exp
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, interpolate_each, parameters
from benchmark.methods.shared.saliency import filtered, intensity, sum_to_one

MEAN = (1 / 3,) * 3
GAUSSIAN = tuple(exp(-((x / 3) ** 2) / 2) for x in range(-3, 4))  # 7 taps, sigma 3, as in the official code; not scaled
TINY = 1e-10  # under the magnitudes' logarithm, as in the official code


@parameters
class GuidedMixup(InputMethod):
    """x~_i = M x_i + (1 - M) x_j pixel by pixel, M = S_i / (S_i + S_j); targets weigh mean M and 1 - mean M.

    S is the blurred saliency map of an image, of sum 1. Partners are those whose maps lie far apart: from the
    farthest pair on, each image is followed by the farthest one not yet met, and the last by the first. This is the
    paper's variant of spectral residuals (Hou & Zhang, CVPR 2007), which needs no pass of the network; the one of
    input gradients is left out, and images above 128 px are not shrunk before their transform.
    """

    title: ClassVar[str] = "GuidedMixup (SR)"
    paper: ClassVar[str] = "Kang & Kim, AAAI 2023, arXiv:2306.16612"
    year: ClassVar[int] = 2023
    family: ClassVar[Family] = "input mixing"

    probability: Annotated[
        float, Field(ge=0, le=1, description="share of batches that are mixed; 0.5 in the official CIFAR-100 command")
    ] = 0.5

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Saliency-weighted mixtures of images far apart; the batch as it is with chance 1 - probability."""
        if draws.uniform(rng) >= self.probability:
            return images, targets
        saliency = spectral_residual(images)
        for _ in range(2):  # as the official code does, once with the map and once before pairing
            saliency = filtered(saliency, GAUSSIAN, "reflect")
        saliency = sum_to_one(saliency)
        order = farthest_cycle(torch.cdist(saliency.flatten(1), saliency.flatten(1)))
        share = saliency / (saliency + saliency[order])  # (B, H, W)
        return (
            torch.lerp(images[order], images, share[:, None]),
            interpolate_each(targets, order, share.mean(dim=(1, 2))),
        )


def spectral_residual(images: Tensor) -> Tensor:
    """Magnitude of the inverse transform of exp(log|F| - mean of log|F|) at the phase of F; (B, H, W), >= 0.

    F is the Fourier transform of the intensity; the mean is over 3 x 3 frequencies, edges repeated. As the phase is
    F / |F|, what is transformed back is F exp(-mean of log|F|).
    """
    spectrum = torch.view_as_real(torch.fft.fft2(intensity(images)))  # (B, H, W, 2)
    logs = 0.5 * (spectrum.square().sum(dim=-1) + TINY).log()
    residual = spectrum * filtered(logs, MEAN, "replicate").neg().exp()[..., None]
    restored: Tensor = torch.fft.ifft2(torch.view_as_complex(residual))
    return restored.abs()


def farthest_cycle(distances: Tensor) -> Tensor:
    """Partners along one cycle through all, each the farthest from the one before of those not yet met.

    The greedy path takes its steps one by one, so it is found on the CPU.

    Args:
        distances: (B, B), symmetric.

    Returns:
        (B,) int64: a permutation of one cycle.
    """
    unmet = distances.cpu().numpy().copy()
    np.fill_diagonal(unmet, -np.inf)
    path = [int(unmet.argmax()) // len(unmet)]
    for _ in range(len(unmet) - 1):
        unmet[:, path[-1]] = -np.inf
        path.append(int(unmet[path[-1]].argmax()))
    order = np.empty(len(unmet), dtype=np.int64)
    order[path] = np.roll(path, -1)
    return torch.from_numpy(order).to(distances.device, non_blocking=True)
