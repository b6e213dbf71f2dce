"""One-sided mixup: AM-mixup (Kim, Lee, Kim 2024, arXiv:2401.14696) without its schedule, a control for it."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.methods.base import Family, Method, Progress, parameters
from benchmark.methods.shared.one_sided import clean_and_one_sided
from benchmark.methods.shared.stages import require_stage


@parameters
class OneSidedMixup(Method):
    """L = CE(g(z_i), y_i) + weight * mean over pairs with y_i != y_j of CE(g(lam z_i + (1 - lam) z_j), c).

    c = y_i if lam >= 1/2 else y_j; lam ~ Beta(alpha, alpha) for each batch, whatever the accuracy. Not a method of the
    paper's: it is our AM-mixup with schedule `beta` and beta = 0, which tells the label's effect from the schedule's.
    As there, BatchNorm behind a hidden stage sees the clean and the mixed ones together, at up to three times the cost.
    """

    title: ClassVar[str] = "One-sided mixup"
    paper: ClassVar[str] = "control of Kim, Lee, Kim 2024, arXiv:2401.14696; no schedule"
    year: ClassVar[int] = 2024
    family: ClassVar[Family] = "feature mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 is uniform, our choice")] = 1.0
    weight: Annotated[float, Field(ge=0, description="of the mixed loss beside the clean one; as AM-mixup's")] = 1.0
    stage: Annotated[
        int, Field(ge=-1, le=3, description="-1: penultimate features; 0 to 3: hidden stage, shallow to deep")
    ] = -1

    def check(self, network: Network) -> None:
        """Refuse a backbone without the stage."""
        require_stage(network, self.stage)

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Clean cross-entropy plus the weighted one-sided one; batches of one class add nothing to it."""
        order = draws.permutation(len(images), rng, images.device)
        lam = draws.beta(self.alpha, rng)
        clean, one_sided = clean_and_one_sided(network, images, labels, order, lam, self.stage)
        return clean + self.weight * one_sided
