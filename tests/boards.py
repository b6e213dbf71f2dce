"""Boards made by hand from rows, with pandas alone: what pictures and comparisons are tested on."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.report import table
from benchmark.report.board import Board, Overall
from benchmark.schema import RESULT_COLUMNS

PUBLISHED = Path(__file__).parents[1] / "results" / "published"
SUMMED = ("n", "mean", "std", "low", "high")


def board_of(folder=PUBLISHED / "quickstart", metric="fine_linear_acc", columns=("coarse_acc",), reference="baseline"):
    """The board of a results folder with one group of rows. Ties are by eye: intervals that overlap the best one's."""
    cells = table.read(folder)
    cells = cells.assign(label=table.labels(cells), folder=str(folder))
    return board(cells, metric, columns, reference)


def board(cells, metric="fine_linear_acc", columns=("coarse_acc",), reference="baseline", title="toy · net · recipe r"):
    """Of rows with label, seed and the columns named."""
    lines = pd.DataFrame([_line(label, own, (metric, *columns)) for label, own in cells.groupby("label")])
    lines = lines.sort_values(["separable", metric], ascending=False, kind="stable").reset_index(drop=True)
    best = lines.iloc[0]
    lines["tied"] = lines["separable"] & (lines[f"{metric}_high"] >= best[f"{metric}_low"])
    lines["rank"] = lines[metric].where(lines["separable"]).rank(ascending=False)
    group = {name: str(cells.iloc[0].get(name, "x")) for name in table.GROUP}
    p, finished = np.full((len(lines), len(lines)), np.nan), cells[cells["status"] == "ok"].reset_index(drop=True)
    return Board(title, "toy", group, metric, (metric, *columns), reference, lines, finished, p, np.nan)


def _line(label, own, columns):
    done = own[own["status"] == "ok"]
    line = {"label": label, "method": own["method"].iloc[0], "method_params": own["method_params"].iloc[0]}
    line |= {"slug": label.replace(" ", "-").strip("()"), "n": len(done), "separable": len(done) >= 3}
    line |= {"seeds": ", ".join(map(str, sorted(done["seed"]))), "failed": "", "missing": ""}
    for column in columns:
        values = done[column].astype(float)
        half = (
            4.302652729911275 * values.std() / np.sqrt(3) if len(values) == 3 else np.nan
        )  # t, two degrees of freedom
        low, high = values.mean() - half, values.mean() + half
        line |= {column: values.mean(), f"{column}_std": values.std(), f"{column}_low": low, f"{column}_high": high}
        line[f"{column}_n"] = len(values)
    return line


def rows(methods=4, seeds=3, **changes):
    """Toy rows with RESULT_COLUMNS: method `m<i>` (the first is the baseline), i points better each, seeds a point."""
    made = []
    for method in range(methods):
        for seed in range(seeds):
            name = f"m{method}" if method else "baseline"
            scores = {
                "fine_linear_acc": 0.5 + method / 100 + seed / 100,
                "coarse_acc": 0.9 - method / 100 + seed / 1000,
            }
            shape = {"subclass_separability": 1.0 + method, "alignment_fine": 0.5, "uniformity": -2.0 + seed / 10}
            cost = {"pretrain_seconds": 10.0 + 5 * method, "device": "cpu", "device_name": "chip", "num_threads": 1}
            cell = {"key": f"k{method}-{seed}", "method": name, "label": name, "method_params": "{}", "seed": seed}
            made.append(cell | scores | shape | cost | {"precision": "fp32", "status": "ok", "reason": ""} | changes)
    return pd.DataFrame(made).reindex(columns=list(dict.fromkeys((*RESULT_COLUMNS, "label", "folder"))))


def overall(methods=4, boards=3):
    """Methods whose mean ranks are a third apart; neighbours cannot be told apart."""
    names = [f"m{i}" for i in range(methods)]
    mean = 1 + np.arange(methods) / 3
    ranks = pd.DataFrame({"label": names, "slug": names, "mean_rank": mean, "low": mean - 0.2, "high": mean + 0.2})
    ranks = ranks.assign(**{f"board-{i}": mean for i in range(boards)})
    return Overall(ranks, 5.5, 0.04, 0.4, tuple(pairwise(names)), {"late": "toy"})
