"""What a leaderboard costs: rows made up to any number, and the time from them to the published files."""

import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.metrics import EXCESS_COLUMNS, METRICS
from benchmark.report import leaderboard, publication, site, views
from benchmark.report.board import About
from benchmark.schema import COST_COLUMNS, METRIC_VERSION, RESULT_COLUMNS, SELECTION_COLUMNS

TEXTS = {"method_params": "{}", "recipe_params": '{"epochs": 200}', "missing_classes": "[]", "status": "ok"}


def write_rows(file: Path, tasks: int, methods: int, seeds: int) -> None:
    """A results.csv of finished rows, one for each task, method and seed; better methods have higher numbers."""
    rng = np.random.default_rng(0)
    task, method, seed = (places.ravel() for places in np.indices((tasks, methods, seeds)))
    noise = {
        name: rng.standard_normal(len(task)) for name in (*METRICS, *EXCESS_COLUMNS, *SELECTION_COLUMNS, *COST_COLUMNS)
    }
    named = dict.fromkeys(RESULT_COLUMNS, "some-text") | dict.fromkeys(
        ("reason", "method_digest", "features_digest"), ""
    )
    columns = named | {name: 0.5 + 0.001 * method + 0.02 * values for name, values in noise.items()} | TEXTS
    columns |= {"key": [f"{i:020x}" for i in range(len(task))], "seed": seed, "metric_version": METRIC_VERSION}
    columns |= {"task": [f"task-{i:03}" for i in task], "method": [f"method_{i:03}" for i in method]}
    frame = pd.DataFrame(columns, index=range(len(task)))
    frame.replace("method_000", "baseline")[list(RESULT_COLUMNS)].to_csv(file, index=False)


def publish(file: Path, folder: Path) -> dict[str, float]:
    """Seconds to read and compare the rows of a results.csv, and to write everything `c2f leaderboard` does."""
    started = time.perf_counter()
    frame = leaderboard.read([file], without=views.undrawn([leaderboard.METRIC, *leaderboard.COLUMNS]))
    found = leaderboard.build(frame)
    ranked = time.perf_counter()
    publication.write(found, folder)
    site.write(found, folder, {name: About(name, "unknown") for name in frame["method"].unique()}, {})
    ended = time.perf_counter()
    return {"seconds": ended - started, "rank_seconds": ranked - started, "write_seconds": ended - ranked}
