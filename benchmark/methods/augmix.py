"""AugMix (Hendrycks et al., ICLR 2020, arXiv:1912.02781)."""

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.methods.base import Family, Method, Progress, parameters
from benchmark.methods.shared import image_policy
from benchmark.methods.shared.image_policy import Op

CPU = torch.device("cpu")
MIXED = 2  # mixed views beside the clean one
# The operations that no corruption of CIFAR-C repeats.
OPS = (
    Op.SHEAR_X,
    Op.SHEAR_Y,
    Op.TRANSLATE_X,
    Op.TRANSLATE_Y,
    Op.ROTATE,
    Op.POSTERIZE,
    Op.SOLARIZE,
    Op.AUTOCONTRAST,
    Op.EQUALIZE,
)


@parameters
class AugMix(Method):
    """L = CE(p_orig, y) + weight * JS(p_orig, p_augmix1, p_augmix2), over three views of every image.

    x_augmix = (1 - m) x + m sum_i w_i chain_i(x), w ~ Dirichlet(alpha, ..., alpha), m ~ Beta(alpha, alpha); a chain
    is one to three operations, each uniform out of nine, at a level uniform in [0.1, severity] of 10.
    JS = (KL(p_1 || M) + KL(p_2 || M) + KL(p_3 || M)) / 3 with M the mean of the three. Warps sample bilinearly as
    torchvision does on tensors, which fades to black at the edges where PIL, used by the official code, does not.
    """

    title: ClassVar[str] = "AugMix"
    paper: ClassVar[str] = "Hendrycks et al., ICLR 2020, arXiv:1912.02781"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "image policy"
    cost: ClassVar[float] = 3.0

    width: Annotated[int, Field(ge=1, le=10, description="chains of a mixture; 3 in the paper")] = 3
    depth: Annotated[
        int, Field(ge=-1, le=10, description="operations of a chain; below 1, as in the paper, 1 to 3 at random")
    ] = -1
    alpha: Annotated[float, Field(ge=0.1, description="of Dirichlet and Beta; 1 in the paper")] = 1.0
    severity: Annotated[float, Field(ge=0.1, le=10, description="largest level of 10; 3 in the official code")] = 3.0
    weight: Annotated[float, Field(ge=0, description="of the consistency loss; 12 in the paper")] = 12.0

    def views(self, images: Tensor, rng: Generator) -> Tensor:
        """The images, then two mixtures of each: (3 B, C, H, W) float32."""
        shape = (MIXED, self.width, len(images))
        chains = self._chains(images.repeat(MIXED * self.width, 1, 1, 1), rng).view(*shape, *images.shape[1:])
        weights = draws.dirichlets(self.alpha, (MIXED, len(images), self.width), rng, images.device).transpose(1, 2)
        share = draws.betas(self.alpha, MIXED * len(images), rng, images.device).view(MIXED, len(images), 1, 1, 1)
        mixtures = torch.zeros(MIXED, *images.shape, device=images.device)
        for chain, weight in zip(chains.unbind(dim=1), weights.unbind(dim=1), strict=True):
            mixtures.addcmul_(chain, weight[:, :, None, None, None])
        return torch.cat([images.float(), torch.lerp(images.float(), mixtures, share).flatten(0, 1)])

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of the clean view plus the weighted divergence between all views."""
        logits = network(images).unflatten(0, (-1, len(labels)))  # (V, B, K), the clean view first
        return F.cross_entropy(logits[0], labels) + self.weight * jensen_shannon(logits)

    def _chains(self, images: Tensor, rng: Generator) -> Tensor:
        """Every image after a chain of its own."""
        count = len(images)
        longest = self.depth if self.depth > 0 else 3
        depths = draws.integers(3, (count,), rng, CPU) + 1 if self.depth < 1 else torch.full((count,), self.depth)
        for step in range(longest):
            ops = torch.tensor(OPS)[draws.integers(len(OPS), (count,), rng, CPU)]
            levels = 0.1 + (self.severity - 0.1) * draws.uniforms((count,), rng, CPU).double()
            negative = draws.uniforms((count,), rng, CPU) < 0.5
            values = strengths(ops, levels, negative, *images.shape[2:])
            images = image_policy.apply(images, ops.where(step < depths, Op.IDENTITY), values, bilinear=True)
        return images


def strengths(ops: Tensor, levels: Tensor, negative: Tensor, height: int, width: int) -> Tensor:
    """Strengths in each operation's unit, (B,) float64, as in the official code.

    Args:
        ops: (B,) int64.
        levels: (B,) float64 in [0, 10].
        negative: (B,) bool, which warps go the other way.
        height: of the images.
        width: of the images.
    """
    start, top = torch.zeros(2, len(Op), dtype=torch.float64).unbind()
    top[: Op.BRIGHTNESS] = torch.tensor([0.3, 0.3, width / 3, height / 3, 30], dtype=torch.float64)
    start[Op.POSTERIZE], top[Op.POSTERIZE] = 4, 4
    start[Op.SOLARIZE], top[Op.SOLARIZE] = 256, 256
    values = levels * top[ops] / 10
    values = values.where(ops < Op.TRANSLATE_X, values.trunc())  # all but shears are whole numbers
    return start[ops] + values.where(~negative & (ops < Op.POSTERIZE), -values)


def jensen_shannon(logits: Tensor) -> Tensor:
    """Mean over the batch of the divergence between the views' distributions; logits (V, B, K), a scalar >= 0."""
    log_p = F.log_softmax(logits, dim=2)
    mean = log_p.exp().mean(dim=0).clamp(min=1e-7)  # as in the official code
    divergence: Tensor = log_p.exp() * (log_p - mean.log())  # of one view and class
    return divergence.sum(dim=2).mean()
