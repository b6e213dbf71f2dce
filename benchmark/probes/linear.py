"""Linear probe: multinomial logistic regression on standardised frozen features, by L-BFGS to convergence.

Minimises mean cross-entropy + l2 / 2 |W|^2 (biases are free) over the train features; l2 is chosen from a fixed
grid by fine accuracy on val, the larger of equals; then refitted on train + val with that l2. Zero initialisation,
no randomness: the problem is convex and the answer its optimum.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

GRID = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # l2, from strong to weak
TOLERANCE = 1e-4  # largest entry of the gradient of the mean objective at the solution
MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe and what was chosen on the way."""

    weight: Array  # (F, D), on standardised features
    bias: Array  # (F,)
    mean: Array  # (D,)
    scale: Array  # (D,)
    l2: float
    val_acc: float

    def logits(self, features: Tensor) -> Array:
        """(N, D) -> (N, F)."""
        return np.asarray((_array(features) - self.mean) / self.scale @ self.weight.T + self.bias)


def fit(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> LinearProbe:
    """Choose l2 on val, then refit on train + val.

    Args:
        train: features (N, D) float and labels (N,) int64, every label in [0, F) at least once, F >= 3.
        val: the same; labels may be missing.

    Returns:
        The probe; its features are standardised by the statistics of what it was fitted on.
    """
    l2, val_acc = _choose(train, val)
    x = np.concatenate([_array(train[0]), _array(val[0])])
    y = np.concatenate([train[1].numpy(), val[1].numpy()])
    mean, scale = _statistics(x)
    model = _model().set_params(C=1 / (l2 * len(y)))
    model.fit((x - mean) / scale, y)
    return LinearProbe(model.coef_, model.intercept_, mean, scale, l2, val_acc)


def _choose(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """The l2 with the best accuracy on val, and that accuracy; each fit starts from the one before."""
    x, y = _array(train[0]), train[1].numpy()
    mean, scale = _statistics(x)
    x, x_val = (x - mean) / scale, (_array(val[0]) - mean) / scale
    model = _model().set_params(warm_start=True)
    accuracies = []
    for l2 in GRID:
        model.set_params(C=1 / (l2 * len(y)))
        model.fit(x, y)
        accuracies.append(float((model.predict(x_val) == val[1].numpy()).mean()))
    best = int(np.argmax(accuracies))  # the first, so the larger l2 of equals
    return GRID[best], accuracies[best]


def _model() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(tol=TOLERANCE, max_iter=MAX_ITERATIONS)


def _array(features: Tensor) -> Array:
    return features.numpy().astype(np.float64)


def _statistics(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation per dimension; a constant dimension is left unscaled."""
    scale = x.std(axis=0)
    return x.mean(axis=0), np.where(scale > 1e-12, scale, 1.0)
