"""Leaderboards made by hand, for what is written of them: plain means and t-intervals, no test of anything."""

import json
import re

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.report import table
from benchmark.report.board import LINE_COLUMNS, Board, Leaderboard, Overall
from benchmark.schema import RESULT_COLUMNS

COLUMNS = (
    "fine_linear_acc",
    "coarse_acc",
    "fine_knn_acc",
    "subclass_separability",
    "alignment_fine",
    "uniformity",
    "pretrain_seconds",
)


def slug(text):
    return re.sub("[^a-z0-9._]+", "-", text.lower()).strip("-.") or "x"


def cells(methods, seeds=3, task="toy", backbone="resnet18-thin", recipe="quick", sd=0.01):
    """Finished rows of every method and seed; the i-th method's true accuracy is 0.9 - 0.4 i / k."""
    rng = np.random.default_rng([seeds, *task.encode()])
    rows = []
    for i, method in enumerate(methods):
        for seed in range(seeds):
            fine = 0.9 - 0.4 * i / len(methods) + sd * rng.standard_normal()
            rows.append(
                {
                    "key": f"{task}-{i:04d}-{seed}",
                    "task": task,
                    "kind": "coarse-to-fine",
                    "coarse_level": "coarse",
                    "fine_level": "fine",
                    "hierarchy_version": "1",
                    "hierarchy_digest": "ab" * 8,
                    "data_digest": "cd" * 8,
                    "method": method,
                    "method_params": "{}",
                    "backbone": backbone,
                    "backbone_args": "{}",
                    "recipe": recipe,
                    "recipe_params": json.dumps({"epochs": 2}),
                    "seed": seed,
                    "metric_version": 3,
                    "measures": "{}",
                    "status": "ok",
                    "fine_linear_acc": fine,
                    "fine_knn_acc": fine - 0.05,
                    "coarse_acc": 0.97 - 0.05 * fine + 0.002 * rng.standard_normal(),
                    "subclass_separability": fine**2,
                    "alignment_fine": 1 - fine,
                    "alignment_coarse": 1.1 - fine,
                    "uniformity": -2 - fine,
                    "pretrain_seconds": 10 + i,
                    "device_name": "a processor",
                    "package_version": "0.1.0",
                    "git_commit": "e" * 40,
                    "command": f"c2f run --methods {method}",
                }
            )
    return pd.DataFrame(rows).reindex(columns=list(RESULT_COLUMNS)).assign(label=methods_of(rows), folder="results/x")


def methods_of(rows):
    return [row["method"] for row in rows]


def means(values):
    n, mean = len(values), np.mean(values)
    std = np.std(values, ddof=1) if n > 1 else np.nan
    half = stats.t.ppf(0.975, n - 1) * std / np.sqrt(n) if n > 1 else np.nan
    return mean, std, mean - half, mean + half, n


def line(label, rows, columns, reference):
    found = dict.fromkeys(LINE_COLUMNS, np.nan)
    n = len(rows)
    found |= {"label": label, "method": label.split(" (")[0], "method_params": "{}", "slug": slug(label), "n": n}
    found |= {"seeds": ", ".join(str(seed) for seed in rows["seed"]), "separable": n >= 3, "tied": False}
    found |= {"failed": "", "missing": ""}
    for column in columns:
        values = rows[column].dropna().to_numpy(np.float64)
        figures = means(values) if len(values) else (np.nan,) * 4 + (0,)
        found |= dict(zip([column + end for end in ("", "_std", "_low", "_high", "_n")], figures, strict=True))
    both = rows.merge(reference, on="seed", suffixes=("", "_r"))
    if len(both) > 1 and label != "baseline":
        mean, _, low, high, n = means((both[columns[0]] - both[columns[0] + "_r"]).to_numpy(np.float64))
        found |= {"difference": mean, "difference_low": low, "difference_high": high, "difference_n": n}
        found |= {"p_t": 0.01, "p_wilcoxon": np.nan, "p_holm": 0.04, "effect": 1.5}
    return found


def board(rows, columns=COLUMNS, metric="fine_linear_acc"):
    first = rows.iloc[0]
    reference = rows[rows["label"] == "baseline"]
    lines = pd.DataFrame([line(str(name), own, columns, reference) for name, own in rows.groupby("label", sort=False)])
    lines = lines.sort_values(["separable", metric], ascending=False).reset_index(drop=True)
    sound = lines["separable"].to_numpy(bool)
    rank = np.where(sound, np.arange(1, len(lines) + 1), np.nan)
    low, high = rank.copy(), rank.copy()
    low[sound], high[sound] = np.maximum(rank[sound] - 1, 1), np.minimum(rank[sound] + 1, sound.sum())
    lines = lines.assign(rank=rank, rank_low=low, rank_high=high, tied=sound & (np.nan_to_num(rank, nan=99) <= 3))
    return Board(
        title=f"{first['task']} · {first['backbone']} · recipe {first['recipe']}",
        slug=slug(f"{first['task']}-{first['backbone']}-{first['recipe']}"),
        group={name: str(first[name]) for name in table.GROUP},
        metric=metric,
        columns=tuple(columns),
        reference="baseline" if len(reference) else "",
        lines=lines,
        cells=rows.reset_index(drop=True),
        p=np.full((len(lines), len(lines)), np.nan),
        detectable=0.021,
    )


def overall(boards):
    ranks = pd.DataFrame({one.slug: one.lines.set_index("label")["rank"] for one in boards}).dropna()
    mean = ranks.mean(axis=1)
    found = ranks.assign(mean_rank=mean, low=(mean - 0.5).clip(1), high=mean + 0.5).sort_values("mean_rank")
    found = found.rename_axis("label").reset_index()
    found.insert(1, "slug", [slug(label) for label in found["label"]])
    labels = list(found["label"])
    return Overall(found, 12.3, 0.002, 1.7, (tuple(labels[:3]), tuple(labels[2:5])), {"late": boards[-1].title})


def leaderboard(boards, outdated=None, folders=("results/x",)):
    if outdated is None:
        outdated = boards[0].cells.head(0).assign(why="")
    several = overall(boards) if len(boards) > 1 else None
    return Leaderboard(tuple(boards), several, outdated, "0123456789abcdef", tuple(folders), "0.1.0")
