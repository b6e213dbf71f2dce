"""SnapMix (Huang, Wang, Tao, AAAI 2021, arXiv:2012.04846)."""

from typing import Annotated, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.errors import InputError
from benchmark.methods.base import Family, Method, Progress, one_hot, parameters, soft_cross_entropy
from benchmark.methods.shared.boxes import Box, random_box
from benchmark.methods.shared.saliency import class_activation


@parameters
class SnapMix(Method):
    """A box of x_j is resized into a box of another size and place in x_i; labels weigh by what is seen of each.

    With S the class activation map of an image, of sum 1: rho_i = 1 - sum of S_i in its box, rho_j = sum of S_j in the
    box cut from it, L = mean over i of rho_i CE(x~_i, y_i) + rho_j CE(x~_i, y_j). The two rho need not sum to 1. Both
    boxes have an area share ~ Beta(alpha, alpha) before clipping, drawn once for each batch; a batch whose box is
    empty stays as it is. The official code counts pairs of one class twice; here their weight is rho_i + rho_j as for
    all. A map without contrast is uniform here, so that areas decide; with the last stage at 1 x 1 px all maps are.
    """

    title: ClassVar[str] = "SnapMix"
    paper: ClassVar[str] = "Huang, Wang, Tao, AAAI 2021, arXiv:2012.04846"
    year: ClassVar[int] = 2021
    family: ClassVar[Family] = "input mixing"
    cost: ClassVar[float] = 7 / 6  # a second forward pass in every other batch; what follows the stage is left out

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 5 in the official commands")] = 5.0
    probability: Annotated[
        float,
        Field(ge=0, le=1, description="share of batches that are mixed; 0.5 in the official commands from scratch"),
    ] = 0.5

    def check(self, network: Network) -> None:
        """Refuse a backbone without stages: it has no maps."""
        if network.num_stages == 0:
            raise InputError("snapmix needs a backbone with hidden stages, e.g. resnet18-small or vit-tiny-p4")

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy weighted by the shares of the class activation maps that are seen."""
        targets = one_hot(labels, network.num_classes, images.dtype)
        mixed = draws.uniform(rng) < self.probability
        into, out_of = (self._box(images, rng) for _ in range(2))
        order = draws.permutation(len(images), rng, images.device)
        if mixed and into.share(*images.shape[2:]) > 0 and out_of.share(*images.shape[2:]) > 0:
            maps = class_activation(network, images, labels)
            images = paste_resized(images, order, into, out_of)
            kept, pasted = 1 - mass(maps, into), mass(maps, out_of)[order]
            targets = kept[:, None] * targets + pasted[:, None] * targets[order]
        return soft_cross_entropy(network(images), targets)

    def _box(self, images: Tensor, rng: Generator) -> Box:
        height, width = images.shape[2:]
        return random_box(height, width, draws.beta(self.alpha, rng), rng)


def paste_resized(images: Tensor, order: Tensor, into: Box, out_of: Box) -> Tensor:
    """Copies of the images with the box `out_of` of image order(i) resized bilinearly into the box `into`."""
    top, bottom, left, right = out_of
    patch = images[order, :, top:bottom, left:right]
    top, bottom, left, right = into
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = F.interpolate(
        patch, size=(bottom - top, right - left), mode="bilinear", align_corners=True
    )
    return mixed


def mass(maps: Tensor, box: Box) -> Tensor:
    """Sum of each map (B, H, W) within the box, (B,)."""
    return maps[:, box.top : box.bottom, box.left : box.right].sum(dim=(1, 2))
