"""Linear probe: multinomial logistic regression on standardised frozen features, by L-BFGS to convergence.

Minimises mean cross-entropy + l2 / 2 |W|² (biases are free) over the train features; l2 is chosen from a fixed grid
by fine accuracy on val, the larger of equals; then refitted on train + val with that l2. The problem is convex and
starts from zero: no randomness, one answer.

SciPy's L-BFGS-B decides the steps, torch computes loss and gradient in float32. scikit-learn's LogisticRegression has
the same optimum (a test holds them together); docs/speed.md has both times and what the difference is made of.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

GRID = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # l2, from strong to weak: each fit starts from the one before
TOLERANCE = 1e-4  # largest entry of the gradient of the mean objective at the solution
MAX_ITERATIONS = 2000
MEMORY = 20  # pairs of vectors L-BFGS keeps


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe and what was chosen on the way."""

    coefficients: Tensor  # (F, D + 1) float64 on standardised features, the bias last
    mean: Tensor  # (D,)
    scale: Tensor  # (D,)
    l2: float
    val_acc: float

    def logits(self, features: Tensor) -> Tensor:
        """(N, D) float -> (N, F) float64."""
        return _logits(self.coefficients, _with_one((features - self.mean) / self.scale).double())

    def on_raw_features(self) -> tuple[Tensor, Tensor]:
        """Weight (F, D) and bias (F,) float64 that give the same logits from features that are not standardised."""
        weight = self.coefficients[:, :-1] / self.scale
        return weight, self.coefficients[:, -1] - weight @ self.mean.double()


def fit(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> LinearProbe:
    """Choose l2 on val, then refit on train + val.

    Args:
        train: features (N, D) float32 and labels (N,) int64, every label in [0, F) at least once.
        val: the same; labels may be missing.

    Returns:
        The probe; features are standardised by the statistics of train, in the refit too.

    Raises:
        ArithmeticError: if L-BFGS does not reach TOLERANCE within MAX_ITERATIONS.
    """
    num_classes = int(train[1].max()) + 1
    mean, scale = _statistics(train[0])
    x, x_val = (_with_one((features - mean) / scale) for features in (train[0], val[0]))
    solutions, accuracies = [], []
    start = torch.zeros(num_classes, x.shape[1], dtype=torch.float64)
    for l2 in GRID:
        start = solve(x, train[1], l2, start)
        solutions.append(start)
        predicted = _logits(start.to(x.device), x_val.double()).argmax(dim=1)
        accuracies.append(float((predicted == val[1]).double().mean()))
    best = int(np.argmax(accuracies))  # the first, so the larger l2 of equals

    both, labels = torch.cat([x, x_val]), torch.cat([train[1], val[1]])
    coefficients = solve(both, labels, GRID[best], solutions[best])
    return LinearProbe(coefficients.to(x.device), mean, scale, GRID[best], accuracies[best])


def solve(x: Tensor, labels: Tensor, l2: float, start: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """The minimiser of mean cross-entropy + l2 / 2 |W|².

    Args:
        x: (N, D + 1) float32, the last column ones.
        labels: (N,) int64 in [0, F).
        l2: >= 0.
        start: (F, D + 1) float64, on the CPU.
        tolerance: largest entry of the gradient at the solution.

    Returns:
        (F, D + 1) float64, on the CPU.

    Raises:
        ArithmeticError: if the tolerance is not reached.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    # Products in float32 are twice as fast and exact enough almost always; where they are not, float64 goes on.
    for dtype in (torch.float32, torch.float64):
        objective = _Objective(x.to(dtype), labels, l2, tuple(start.shape))
        options = {"maxiter": MAX_ITERATIONS, "maxcor": MEMORY, "gtol": tolerance, "ftol": 0.0}
        with threadpool_limits(limits=1, user_api="blas"):  # SciPy's few vectors need no second team of threads
            found = minimize(objective, start.numpy().ravel(), jac=True, method="L-BFGS-B", options=options)
        start = torch.from_numpy(found.x).reshape(start.shape)
        if np.abs(found.jac).max() <= tolerance:
            return start
    raise ArithmeticError(f"linear probe at l2 = {l2:g} stopped short of its tolerance: {found.message}")


class _Objective:
    """Loss and gradient of the probe at a flat vector of coefficients."""

    def __init__(self, x: Tensor, labels: Tensor, l2: float, shape: tuple[int, ...]) -> None:
        self.x, self.labels, self.l2, self.shape = x, labels[:, None], l2, shape

    def __call__(self, flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = torch.from_numpy(flat).reshape(self.shape)
        log_p = F.log_softmax(_logits(weight.to(self.x), self.x), dim=1)  # (N, F)
        loss = -log_p.gather(1, self.labels).double().mean()
        residual = log_p.exp_().scatter_add_(1, self.labels, -torch.ones_like(log_p[:, :1]))
        penalised = weight.clone()
        penalised[:, -1] = 0  # the bias is free
        gradient = (residual.T @ self.x).cpu().double() / len(self.x) + self.l2 * penalised
        return float(loss + self.l2 / 2 * penalised.square().sum()), gradient.numpy().ravel()


def _logits(coefficients: Tensor, x: Tensor) -> Tensor:
    return x @ coefficients.T


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per dimension; a constant dimension is left unscaled."""
    scale = x.std(dim=0, correction=0)
    return x.mean(dim=0), torch.where(scale > 1e-7 * x.abs().amax(dim=0), scale, torch.ones_like(scale))
