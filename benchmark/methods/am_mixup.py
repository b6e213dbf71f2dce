"""Asymptotic midpoint mixup (Kim, Lee, Kim 2024, arXiv:2401.14696), re-implemented from accounts of the paper.

Known from the abstract and second-hand accounts: features of different classes are interpolated, the label is
one-sided, and the ratio moves to the midpoint by exp(-beta * training accuracy). Our reconstruction: the map from
that to lam (`schedule`), penultimate features, both orders of each pair, the clean loss kept with weight 1, and beta,
chosen on coarse validation. No number of the paper's tables is known to us. docs/am-mixup.md says more.
"""

from math import exp, lgamma, log
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.methods.base import Family, Method, Progress, parameters
from benchmark.methods.shared.one_sided import clean_and_one_sided
from benchmark.methods.shared.stages import require_stage


@parameters
class AMMixup(Method):
    """L = CE(g(z_i), y_i) + weight * mean over pairs with y_i != y_j of CE(g(lam z_i + (1 - lam) z_j), c).

    c = y_i if lam >= 1/2 else y_j. Pairs are (i, p(i)) and (p(i), i) for one random permutation p of the batch.
    With v the clean training accuracy of the previous epoch, the schedules are

        half     lam = (1 + exp(-beta v)) / 2
        beta     lam = 1/2 + (l - 1/2) exp(-beta v),  l ~ Beta(alpha, alpha) for each batch
        literal  lam = max(1/2, exp(-beta v))

    z are the penultimate features, or a hidden stage's output, and g what follows. Behind a hidden stage the clean
    batch and both orders of mixtures run as one batch of 3B: up to three times the cost, and BatchNorm there
    normalises by, and keeps for evaluation, statistics of which a third is clean.
    """

    title: ClassVar[str] = "AM-mixup"
    paper: ClassVar[str] = "Kim, Lee, Kim 2024, arXiv:2401.14696; reconstruction"
    year: ClassVar[int] = 2024
    family: ClassVar[Family] = "feature mixing"

    beta: Annotated[float, Field(ge=0, description="speed at which lam nears 1/2 as accuracy grows")] = 1.0
    weight: Annotated[float, Field(ge=0, description="of the mixed loss beside the clean one")] = 1.0
    schedule: Annotated[Literal["half", "beta", "literal"], Field(description="from accuracy to lam")] = "half"
    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha), schedule `beta` only")] = 1.0
    stage: Annotated[
        int, Field(ge=-1, le=3, description="-1: penultimate features; 0 to 3: hidden stage, shallow to deep")
    ] = -1

    def check(self, network: Network) -> None:
        """Refuse a backbone without the stage."""
        require_stage(network, self.stage)

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Clean cross-entropy plus the weighted one-sided one; batches of one class add nothing to it."""
        order = draws.permutation(len(images), rng, images.device)
        lam = self.ratio(progress.train_acc, rng)
        clean, one_sided = clean_and_one_sided(network, images, labels, order, lam, self.stage)
        return clean + self.weight * one_sided

    def ratio(self, train_acc: float, rng: Generator) -> float:
        """The mixing ratio lam in [0, 1] at a training accuracy."""
        decay = exp(-self.beta * train_acc)
        if self.schedule == "literal":
            return max(0.5, decay)
        start = draws.beta(self.alpha, rng) if self.schedule == "beta" else 1.0
        return 0.5 + (start - 0.5) * decay

    def diagnostics(self, progress: Progress) -> dict[str, float]:
        """`lam`, the share of the labelled side; its expectation max(lam, 1 - lam) where it is drawn."""
        decay = exp(-self.beta * progress.train_acc)
        if self.schedule == "literal":
            return {"lam": max(0.5, decay)}
        start = _expected_larger_share(self.alpha) if self.schedule == "beta" else 1.0
        return {"lam": 0.5 + (start - 0.5) * decay}


def _expected_larger_share(alpha: float) -> float:
    """E max(l, 1 - l) for l ~ Beta(alpha, alpha): 1/2 + 1 / (alpha 4^alpha B(alpha, alpha))."""
    log_beta = 2 * lgamma(alpha) - lgamma(2 * alpha)
    return 0.5 + exp(-log(alpha) - alpha * log(4.0) - log_beta)
