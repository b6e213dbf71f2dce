"""Clustering inside each superclass: do fine classes show without a single fine label?"""

import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

STARTS = 10  # of k-means; the tightest clustering is kept


def predict(features: Tensor, fine: Tensor, to_coarse: Tensor, seed: int) -> Tensor:
    """k-means on unit features among the images of each superclass, k = its fine classes that occur.

    Args:
        features: (N, D) float32, finite and not zero.
        fine: (N,) int64; says which images are of a superclass and how many clusters there are, nothing else.
        to_coarse: (F,) int64, coarse label of each fine one.
        seed: of the starting points, >= 0.

    Returns:
        (N,) int64 on the CPU, in [0, k): the cluster inside the image's superclass; 0 where only one fine class occurs.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    unit, fine, to_coarse = F.normalize(features, dim=1).cpu(), fine.cpu(), to_coarse.cpu()
    clusters = torch.zeros_like(fine)
    with threadpool_limits(limits=1), warnings.catch_warnings():  # one thread: sums in one order, the same clusters
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different images than clusters: that is collapse
        for coarse in to_coarse[fine].unique():
            members = (to_coarse[fine] == coarse).nonzero().flatten()
            if (k := len(fine[members].unique())) > 1:
                model = KMeans(k, n_init=STARTS, random_state=seed % 2**32)
                clusters[members] = torch.from_numpy(model.fit_predict(unit[members].numpy())).long()
    return clusters


def agreement(clusters: Tensor, fine: Tensor) -> tuple[float, float]:
    """How well clusters of one superclass's images are its fine classes.

    Args:
        clusters: (n,) int64.
        fine: (n,) int64.

    Returns:
        adjusted mutual information (arithmetic mean, Vinh et al. 2010), 1 = the same, 0 = as by chance; and accuracy
        under the best one-to-one matching of clusters with fine classes. NaN where fewer than two fine classes occur.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    if len(fine.unique()) < 2:
        return math.nan, math.nan
    table = contingency_matrix(fine.numpy(), clusters.numpy())
    matched = table[linear_sum_assignment(table, maximize=True)].sum()
    return float(adjusted_mutual_info_score(fine.numpy(), clusters.numpy())), float(matched) / len(fine)
