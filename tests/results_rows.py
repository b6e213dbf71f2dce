"""Rows of results.csv made up for tests of what is reported, and leaderboards of them."""

import pandas as pd

from benchmark import schema
from benchmark.metrics import METRICS
from benchmark.report import leaderboard

MEANS = {"baseline": 0.60, "mixup": 0.70, "am_mixup": 0.80}


def row(method="baseline", seed=0, value=0.5, params="{}", **changes):
    given = dict.fromkeys(schema.RESULT_COLUMNS, "x") | dict.fromkeys(METRICS, 0.25)
    given |= dict.fromkeys((*schema.SELECTION_COLUMNS, *schema.COST_COLUMNS), 1.0)
    given |= {
        "method": method,
        "seed": seed,
        "fine_linear_acc": value,
        "method_params": params,
        "status": "ok",
        "recipe_params": "{}",
    }
    given |= {"reason": "", "method_digest": "", "missing_classes": "[]", "metric_version": schema.METRIC_VERSION}
    given |= {"recipe_params": "{}"}
    given |= {"task": "digits-halves", "hierarchy_version": 1, "hierarchy_digest": "d1"}
    given |= changes
    return given | {"key": f"{given['task']}-{method}-{params}-{seed}-{given['metric_version']}"}


def spread(seed, method):
    """Deviations that sum to zero over three seeds, different for every method."""
    return 0.01 * (seed - 1) * {"baseline": 1, "mixup": 1.5, "am_mixup": -2.3}[method]


def rows(methods=MEANS, seeds=range(3), **changes):
    return [row(m, s, MEANS[m] + spread(s, m), **changes) for m in methods for s in seeds]


def build(given, **options):
    frame = pd.DataFrame(given, columns=[*schema.RESULT_COLUMNS]).assign(folder="results/x")
    return leaderboard.build(frame, **options)
