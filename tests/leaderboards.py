"""Rows whose truth is known, for what is written of leaderboards: the i-th method is 0.4 i / k worse than the first."""

import json

import numpy as np
import pandas as pd

from benchmark.report import leaderboard
from benchmark.schema import METRIC_VERSION, RESULT_COLUMNS

COLUMNS = (
    "coarse_acc",
    "fine_knn_acc",
    "subclass_separability",
    "alignment_fine",
    "uniformity",
    "rankme",
    "pretrain_seconds",
)


def rows(methods, seeds=3, task="toy", backbone="net", recipe="quick", sd=0.01, folder="results/x"):
    """A finished row of every method and seed, RESULT_COLUMNS and `folder`."""
    rng = np.random.default_rng([seeds, *task.encode(), *backbone.encode()])
    made = []
    for i, method in enumerate(methods):
        for seed in range(seeds):
            fine = 0.9 - 0.4 * i / len(methods) + sd * rng.standard_normal()
            cell = {"key": f"{task}-{backbone}-{i:04d}-{seed}", "task": task, "method": method, "seed": seed}
            cell |= {"backbone": backbone, "recipe": recipe, "recipe_params": json.dumps({"epochs": 2})}
            cell |= {"method_params": "{}", "backbone_args": "{}", "measures": "{}", "status": "ok"}
            cell |= {"hierarchy_version": 1, "hierarchy_digest": "ab" * 8, "data_digest": "cd" * 8}
            scores = {"fine_linear_acc": fine, "fine_knn_acc": fine - 0.05, "coarse_acc": 0.97 - 0.1 * fine**2}
            shape = {"subclass_separability": fine**2, "alignment_fine": 1 - fine, "uniformity": -2 - fine}
            cost = {
                "pretrain_seconds": 10.0 + i,
                "device_name": "a processor",
                "device": "cpu",
                "num_threads": 1,
                "precision": "fp32",
            }
            made.append(cell | scores | shape | cost | {"rankme": 20 + seed, "git_commit": "e" * 40})
    frame = pd.DataFrame(made).reindex(columns=list(RESULT_COLUMNS))
    frame = frame.assign(missing_classes="[]").astype({"reason": "str", "predictions_digest": "str"}).copy()
    return frame.assign(metric_version=METRIC_VERSION, package_version="0.1.0", folder=folder)


def names(k):
    """`baseline` and k - 1 others."""
    return ["baseline", *(f"method_{i:03d}" for i in range(1, k))]


def built(*frames, columns=COLUMNS, **options):
    """The leaderboard of some rows."""
    return leaderboard.build(pd.concat(frames, ignore_index=True), columns=columns, **options)
