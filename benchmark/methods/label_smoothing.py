"""Label smoothing (Szegedy et al., CVPR 2016, arXiv:1512.00567)."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Generator, Tensor

from benchmark.methods.base import Family, InputMethod, parameters


@parameters
class LabelSmoothing(InputMethod):
    """Targets (1 - e) onehot(y) + e / K."""

    title: ClassVar[str] = "Label smoothing"
    paper: ClassVar[str] = "Szegedy et al., CVPR 2016, arXiv:1512.00567"
    year: ClassVar[int] = 2016
    family: ClassVar[Family] = "control"

    epsilon: Annotated[float, Field(ge=0, lt=1, description="share of the target spread over all classes")] = 0.1

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images as they are, smoothed targets."""
        return images, (1 - self.epsilon) * targets + self.epsilon / targets.shape[1]
