"""Boards for tests of pictures and comparisons: of published rows, and of rows with round figures."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from results_rows import row

from benchmark.report import leaderboard
from benchmark.report.board import Overall
from benchmark.schema import RESULT_COLUMNS

PUBLISHED = Path(__file__).parents[1] / "results" / "published"
METHODS = PUBLISHED / "methods"


def published():
    (board,) = leaderboard.build(leaderboard.read([METHODS])).boards
    return board


def board(cells, **options):
    (one,) = leaderboard.build(cells, **options).boards
    return one


def rows(methods=4, seeds=3, **changes):
    """Rows of method `m<i>`, the first of which is the baseline: i points better each, a point by seed."""
    made = []
    for method in range(methods):
        for seed in range(seeds):
            scores = {"fine_linear_acc": 0.5 + method / 100 + seed / 100, "coarse_acc": 0.9 - method / 100 + seed / 500}
            scores |= {"fine_knn_acc": 0.3 + (method * seed) % 5 / 50, "uniformity": -2.0 + seed / 10 + method / 7}
            shape = {"subclass_separability": 1.0 + method + seed / 5, "alignment_fine": 0.5 + method / 9}
            cost = {"pretrain_seconds": 10.0 + 5 * method, "device": "cpu", "device_name": "chip", "num_threads": 1}
            name = f"m{method}" if method else "baseline"
            made.append(
                row(name, seed) | scores | shape | cost | {"precision": "fp32", "key": f"k{method}-{seed}"} | changes
            )
    return pd.DataFrame(made).reindex(columns=list(RESULT_COLUMNS)).assign(folder="results/x")


def overall(methods=4, boards=3):
    """Methods whose mean ranks are a third apart; neighbours cannot be told apart."""
    names = [f"m{i}" for i in range(methods)]
    mean = 1 + np.arange(methods) / 3
    ranks = pd.DataFrame({"label": names, "slug": names, "mean_rank": mean, "low": mean - 0.2, "high": mean + 0.2})
    ranks = ranks.assign(**{f"board-{i}": mean for i in range(boards)})
    return Overall(ranks, 5.5, 0.04, 0.4, tuple(pairwise(names)), {"late": "toy"})
