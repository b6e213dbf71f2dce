"""TransMix (Chen et al., CVPR 2022, arXiv:2111.09833)."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.methods.base import (
    Family,
    Method,
    Progress,
    interpolate_each,
    one_hot,
    parameters,
    soft_cross_entropy,
)
from benchmark.methods.shared.boxes import Box, paste, random_box
from benchmark.methods.shared.class_attention import require_class_attention


@parameters
class TransMix(Method):
    """CutMix whose label weights follow where the class token looks in the mixed image.

    lam' = ratio * A . down(M) + (1 - ratio) * area(M) is the weight of the pasted image, of box M. A is the class
    token's attention over the patches in the last block, mean over heads, with sum 1 and no gradient; down takes the
    nearest pixel. The box is CutMix's, lam ~ Beta(alpha, alpha). The official code averages with the area as here;
    the paper's formula is ratio = 1.

    Departure: batches that are not mixed stay clean, where the official recipe gives them mixup.
    """

    title: ClassVar[str] = "TransMix"
    paper: ClassVar[str] = "Chen et al., CVPR 2022, arXiv:2111.09833"
    year: ClassVar[int] = 2022
    family: ClassVar[Family] = "input mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 in the official ImageNet recipe")] = (
        1.0
    )
    probability: Annotated[
        float, Field(ge=0, le=1, description="share of batches that are mixed; 0.8 in the official ImageNet recipe")
    ] = 0.8
    ratio: Annotated[
        float, Field(ge=0, le=1, description="of attention to area in the label weight; 0.5 in the official code")
    ] = 0.5

    def check(self, network: Network) -> None:
        """A class token's attention."""
        require_class_attention("transmix", network)

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of images with a pasted box; of the batch as it is with chance 1 - probability."""
        targets = one_hot(labels, network.num_classes, images.dtype)
        if draws.uniform(rng) >= self.probability:
            return soft_cross_entropy(network(images), targets)
        height, width = images.shape[2:]
        box = random_box(height, width, 1 - draws.beta(self.alpha, rng), rng)
        order = draws.permutation(len(images), rng, images.device)
        features, attention = network.features_and_attention(paste(images, order, box))
        pasted = self.ratio * attention_in(attention, box, height, width)
        pasted = pasted + (1 - self.ratio) * box.share(height, width)
        return soft_cross_entropy(network.classify(features), interpolate_each(targets, order, 1 - pasted))


def attention_in(attention: Tensor, box: Box, height: int, width: int) -> Tensor:
    """Attention on the patches whose first pixel lies in a box, (B, h, w) -> (B,).

    The first pixel is what nearest-neighbour downsampling of the box's mask reads: row i of h starts at pixel
    floor(i * height / h), which is in [top, bottom) just when i is in [ceil(top * h / height), ...).
    """
    rows, columns = attention.shape[1:]
    top, bottom = (-(-edge * rows // height) for edge in (box.top, box.bottom))
    left, right = (-(-edge * columns // width) for edge in (box.left, box.right))
    return attention[:, top:bottom, left:right].sum(dim=(1, 2))
