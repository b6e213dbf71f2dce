"""Random erasing (Zhong et al., AAAI 2020, arXiv:1708.04896)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark.methods.base import Family, InputMethod, parameters
from benchmark.methods.shared.rectangles import rectangles

ATTEMPTS = 10  # one size in twenty does not fit, one in twelve at 8 px; the official code tries 100 times


@parameters
class RandomErasing(InputMethod):
    """With chance p, a rectangle of each image is replaced by uniform noise in [0, 255], pixel by pixel.

    S_e = U(s_l, s_h) H W, r_e = U(r_1, 1 / r_1), H_e = sqrt(S_e r_e), W_e = sqrt(S_e / r_e), drawn again until the
    rectangle is smaller than the image. As in the official code its place is uniform over those where it fits, while
    algorithm 1 of the paper draws the size again with the place. The noise is the paper's (RE-R); the official CIFAR
    code fills with a constant near the mean.
    """

    title: ClassVar[str] = "Random erasing"
    paper: ClassVar[str] = "Zhong et al., AAAI 2020, arXiv:1708.04896"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "image policy"

    probability: Annotated[float, Field(ge=0, le=1, description="share of images erased; 0.5 in the paper")] = 0.5
    area_min: Annotated[float, Field(gt=0, le=1, description="least share of the area; 0.02 in the paper")] = 0.02
    area_max: Annotated[float, Field(gt=0, le=1, description="largest share of the area; 0.4 in the paper")] = 0.4
    aspect: Annotated[float, Field(gt=0, le=1, description="least aspect ratio r_1; 0.3 in the paper")] = 0.3

    def views(self, images: Tensor, rng: Generator) -> Tensor:
        """Pixels with noise in a rectangle of some of the images."""
        height, width = images.shape[2:]
        erased = torch.rand(len(images), generator=rng) < self.probability
        rows, columns = self._sizes(len(images), height, width, rng)
        place = torch.rand(2, len(images), generator=rng, dtype=torch.float64)
        top = (place[0] * (height - rows + 1)).long()
        left = (place[1] * (width - columns + 1)).long()
        mask = rectangles(top, left, rows * erased, columns, height, width)
        noise = _random_bytes(images.shape, rng)
        device = images.device
        return torch.where(mask.to(device, non_blocking=True), noise.to(device, non_blocking=True), images)

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """The batch as it is: `views` has erased already."""
        return images, targets

    def _sizes(self, count: int, height: int, width: int, rng: Generator) -> tuple[Tensor, Tensor]:
        """Rows and columns of the rectangles, (B,) int64 each; none where no attempt fits."""
        area, aspect = torch.rand(2, ATTEMPTS, count, generator=rng, dtype=torch.float64)
        area = torch.lerp(torch.full_like(area, self.area_min), torch.full_like(area, self.area_max), area)
        aspect = self.aspect + (1 / self.aspect - self.aspect) * aspect
        sizes = (height * width * area * torch.stack([aspect, 1 / aspect])).sqrt().round().long()  # (2, ATTEMPTS, B)
        fits = (sizes[0] < height) & (sizes[1] < width)
        first = fits.int().argmax(dim=0, keepdim=True)  # (1, B)
        rows, columns = (sizes * fits).gather(1, first.expand(2, 1, count))[:, 0]
        return rows, columns


def _random_bytes(shape: torch.Size, rng: Generator) -> Tensor:
    """Uniform uint8 on the CPU, drawn eight at a time."""
    count = shape.numel()
    words = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None, generator=rng)
    return words.view(torch.uint8)[:count].view(shape)
