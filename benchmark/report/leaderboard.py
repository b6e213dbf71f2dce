"""Rows of results folders -> boards of comparable lines, ranks over boards, and rows that no longer count."""

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import benchmark
from benchmark.errors import InputError, unknown
from benchmark.metrics import METRICS
from benchmark.report import statistics, table
from benchmark.report.board import LINE_COLUMNS, MIN_SEEDS, SUFFIXES, Board, Floats, Leaderboard, Overall
from benchmark.schema import COST_COLUMNS, METRIC_VERSION, SELECTION_COLUMNS

METRIC = "fine_linear_acc"
REFERENCE = "baseline"
COLUMNS = (
    "coarse_acc",
    "fine_knn_acc",
    "fine_intra_5shot_acc",
    "subclass_separability",
    "fine_linear_within_acc",
    "alignment_coarse",
    "uniformity",
    "rankme",
    "margin_cv",
    "pretrain_seconds",
)
UNRANKED = ("coarse_ece", "coarse_confidence")  # shares, too, but more is not better
RANKABLE = tuple(
    name for name, metric in METRICS.items() if metric.family in ("head", "read-out") and name not in UNRANKED
)
SEED = 0  # of bootstrap resamples
# Columns of lines, and what they are called among differences.
OF_DIFFERENCES = {
    **{f"difference{suffix}": name for suffix, name in (("", "mean"), ("_low", "low"), ("_high", "high"), ("_n", "n"))},
    **{name: name for name in ("p_t", "p_wilcoxon", "p_holm", "effect", "effect_low", "effect_high")},
}

Current = Mapping[str, tuple[int, str]]  # of a task: version and digest of its hierarchy as it is now


def read(paths: Sequence[Path], without: Collection[str] = ()) -> pd.DataFrame:
    """Rows of every results folder at or under some paths, `folder` among their columns.

    A cell that occurs more than once is taken once: finished before failed, then in the order of the paths.

    Args:
        paths: results folders, folders of such, or results.csv files.
        without: columns that are left unread, which saves memory.

    Raises:
        InputError: if there is none, or one cannot be read.
    """
    frames = [
        table.read(file, without=without).assign(folder=str(file.parent)) for path in paths for file in _files(path)
    ]
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    table.check_parameters(frame)
    order = frame["status"].ne("ok").argsort(kind="stable")
    return frame.iloc[order].drop_duplicates("key").sort_index().reset_index(drop=True)


def outdated(frame: pd.DataFrame, current: Current, metric_version: int = METRIC_VERSION) -> pd.Series:
    """Why each row no longer counts; empty for those that do.

    Args:
        frame: of `read`.
        current: tasks that are known here; rows of others are taken as they are.
        metric_version: of the scores as they are defined now.
    """
    there = pd.DataFrame([current.get(task, (-1, "")) for task in frame["task"]], frame.index, ["version", "digest"])
    version, digest = there["version"], there["digest"]
    older = (version >= 0) & (frame["hierarchy_version"] != version)
    whole = frame["missing_classes"] == "[]"  # with classes left out, the digest is another by intent
    moved = (version >= 0) & ~older & whole & (frame["hierarchy_digest"] != digest)
    versions = "version " + frame["hierarchy_version"].astype(str) + " of the hierarchy, now " + version.astype(str)
    metrics = "metric version " + frame["metric_version"].astype(str) + f", now {metric_version}"
    why = pd.Series("", index=frame.index)
    why = why.mask(moved, "the classes of the hierarchy have moved").mask(older, versions)
    return why.mask(frame["metric_version"] != metric_version, metrics)


def build(
    frame: pd.DataFrame,
    metric: str = METRIC,
    reference: str = REFERENCE,
    columns: Sequence[str] = COLUMNS,
    current: Current | None = None,
) -> Leaderboard:
    """Everything that is published of some rows.

    Args:
        frame: of `read`.
        metric: what ranks, one of RANKABLE.
        reference: a label or method that differences are to.
        columns: what is shown beside it.
        current: see `outdated`.

    Raises:
        InputError: for a column that cannot be ranked or shown, or if no row is left.
    """
    _check(metric, columns)
    why = outdated(frame, current or {})
    gone, counted = (rows.assign(label=table.labels(rows)) for rows in (frame[why != ""], frame[why == ""]))
    slugs = _slugs(counted["label"].unique())
    shown = tuple(dict.fromkeys((metric, *columns)))
    boards: list[Board] = []
    for _, rows in counted.groupby(list(table.GROUP), sort=True, dropna=False):
        if (rows["status"] == "ok").any():
            boards.append(_board(rows, shown, reference, slugs, [board.slug for board in boards]))
    if not boards:
        raise InputError(f"no finished row that still counts among {len(frame)}; run the cells with this version")
    return Leaderboard(
        boards=tuple(boards),
        overall=_overall(boards),
        outdated=gone.assign(why=why[why != ""]),
        digest=_digest(counted[counted["status"] == "ok"]),
        folders=tuple(frame["folder"].unique()),
        made_by=benchmark.__version__,
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(path.rglob("results.csv"))
    if not found:
        raise InputError(f"{path}: no results.csv at or under it; name a results folder")
    return found


def _check(metric: str, columns: Iterable[str]) -> None:
    if metric not in RANKABLE:
        raise unknown("metric to rank by", metric, RANKABLE, "See `c2f list metrics`; more must be better.")
    known = (*METRICS, *SELECTION_COLUMNS, *COST_COLUMNS)
    for name in columns:
        if name not in known:
            raise unknown("column", name, known, "See `c2f list metrics`.")


def _board(
    rows: pd.DataFrame, columns: tuple[str, ...], reference: str, slugs: Mapping[str, str], taken: Sequence[str]
) -> Board:
    metric, first = columns[0], rows.iloc[0]
    rows = rows.assign(**{name: pd.to_numeric(rows[name], errors="coerce").astype(float) for name in columns})
    unmeasured = (rows["status"] == "ok") & rows[metric].isna()
    rows.loc[unmeasured, "reason"] = f"{metric} not measured"
    cells = rows[(rows["status"] == "ok") & ~unmeasured]
    failed = rows[(rows["status"] != "ok") | unmeasured]
    labels, seeds = rows["label"].unique(), np.sort(rows["seed"].unique())
    values = _values(cells, columns, labels, seeds)
    order = _order(values[metric], labels)
    labels, values = labels[order], {name: value[:, order] for name, value in values.items()}
    reference = _reference(reference, labels, rows)
    p = statistics.separations(values[metric])
    found = _identity(rows, failed, labels, slugs, values[metric], seeds)
    found |= _inference(values[metric], p, labels, reference)
    for name, value in values.items():
        found |= _estimates(name, value)
    wanted = [*LINE_COLUMNS, *(name + suffix for name in columns for suffix in SUFFIXES)]
    return Board(
        title=f"{first['task']} · {first['backbone']} · recipe {first['recipe']}",
        slug=table.slug([str(first[name]) for name in ("task", "backbone", "recipe")], taken),
        group={name: str(first[name]) for name in table.GROUP},
        metric=metric,
        columns=columns,
        reference=reference,
        lines=pd.DataFrame({name: found[name] for name in wanted}),
        cells=cells,
        p=p,
        detectable=_detectable(values[metric], labels, reference),
    )


def _values(cells: pd.DataFrame, names: Sequence[str], labels: Any, seeds: Any) -> dict[str, Floats]:
    """Columns as (seeds, methods), NaN where a cell is missing."""
    at = np.searchsorted(seeds, cells["seed"]), pd.Index(labels).get_indexer(cells["label"])
    found = {}
    for name in names:
        found[name] = np.full((len(seeds), len(labels)), np.nan)
        found[name][at] = cells[name]
    return found


def _order(values: Floats, labels: Any) -> Any:
    """Those with enough seeds first, then the others that have any; the best mean first."""
    n = (~np.isnan(values)).sum(axis=0)
    means = np.where(n > 0, np.nansum(values, axis=0) / np.maximum(n, 1), -np.inf)
    return np.lexsort((labels.astype(str), -means, n < MIN_SEEDS))


def _reference(wanted: str, labels: Any, rows: pd.DataFrame) -> str:
    """The label, or the only one of that method, if it has a finished row."""
    finished = rows[rows["status"] == "ok"]
    if wanted in set(finished["label"]):
        return wanted
    of_method = finished.loc[finished["method"] == wanted, "label"].unique()
    return str(of_method[0]) if len(of_method) == 1 and of_method[0] in labels else ""


def _identity(
    rows: pd.DataFrame, failed: pd.DataFrame, labels: Any, slugs: Mapping[str, str], values: Floats, seeds: Any
) -> dict[str, Any]:
    first = rows[["label", "method", "method_params"]].drop_duplicates("label").set_index("label").loc[labels]
    told: dict[str, list[str]] = {}
    for label, seed, reason in sorted(zip(failed["label"], failed["seed"], failed["reason"], strict=True)):
        told.setdefault(label, []).append(f"seed {seed}: {reason}")
    tried: dict[str, set[int]] = {}
    for label, seed in zip(rows["label"].tolist(), rows["seed"].tolist(), strict=True):
        tried.setdefault(label, set()).add(int(seed))
    done = ~np.isnan(values)
    everyone = seeds.tolist()
    return {
        "label": labels,
        "method": first["method"].to_numpy(),
        "method_params": first["method_params"].to_numpy(),
        "slug": [slugs[label] for label in labels],
        "n": done.sum(axis=0),
        "seeds": [", ".join(map(str, itertools.compress(everyone, own))) for own in done.T.tolist()],
        "separable": done.sum(axis=0) >= MIN_SEEDS,
        "failed": ["; ".join(told.get(label, ())) for label in labels],
        "missing": [", ".join(map(str, sorted(set(everyone) - tried[label]))) for label in labels],
    }


def _inference(values: Floats, p: Floats, labels: Any, reference: str) -> dict[str, Any]:
    """Ranks and the tie group among separable lines, differences to the reference."""
    separable = (~np.isnan(values)).sum(axis=0) >= MIN_SEEDS
    ranks = np.full((3, len(labels)), np.nan)
    tied = np.zeros(len(labels), bool)
    if separable.any():
        means, own = np.nanmean(values[:, separable], axis=0), p[np.ix_(separable, separable)]
        ranks[:, separable] = (statistics.ranks(means), *statistics.rank_bounds(means, own))
        tied[separable] = statistics.tied(means, own)
    standing = {"tied": tied, "rank": ranks[0], "rank_low": ranks[1], "rank_high": ranks[2]}
    if not reference:
        return standing | dict.fromkeys(OF_DIFFERENCES, np.nan)
    found = statistics.differences(values, list(labels).index(reference))
    return standing | {column: getattr(found, name) for column, name in OF_DIFFERENCES.items()}


def _estimates(name: str, values: Floats) -> dict[str, Any]:
    found = statistics.mean_intervals(values)
    fields = (found.mean, found.std, found.low, found.high, found.n)
    return {name + suffix: own for suffix, own in zip(SUFFIXES, fields, strict=True)}


def _detectable(values: Floats, labels: Any, reference: str) -> float:
    """Of a method with as many seeds as most, compared with the reference among all others."""
    if not reference:
        return float("nan")
    differences = values - values[:, [list(labels).index(reference)]]
    n = (~np.isnan(differences)).sum(axis=0)
    others = (np.array(labels) != reference) & (n >= MIN_SEEDS)
    if not others.any():
        return float("nan")
    spread = float(np.median(np.nanstd(differences[:, others], axis=0, ddof=1)))
    return float(statistics.detectable(int(np.median(n[others])), spread, int(others.sum())))


def _overall(boards: Sequence[Board]) -> Overall | None:
    """Of the methods that are ranked in every board that ranks any."""
    boards = [board for board in boards if board.lines["separable"].sum() > 1]
    if len(boards) < 2:
        return None
    ranked = {board.slug: board.lines[board.lines["separable"]].set_index("label") for board in boards}
    everyone = list(dict.fromkeys(label for lines in ranked.values() for label in lines.index))
    common = [label for label in everyone if all(label in lines.index for lines in ranked.values())]
    lacking = {
        label: "; ".join(board.title for board in boards if label not in ranked[board.slug].index)
        for label in everyone
        if label not in common
    }
    if not common:
        columns = ["label", "slug", "mean_rank", "low", "high", *ranked]
        return Overall(pd.DataFrame(columns=columns), np.nan, np.nan, np.nan, (), lacking)
    means = np.array(
        [ranked[board.slug][board.metric].reindex(common).to_numpy() for board in boards]
    )  # (boards, methods)
    ranks = _mean_ranks(boards, common, means)
    if len(common) < 3:
        return Overall(ranks, np.nan, np.nan, np.nan, (), lacking)
    test, distance = statistics.friedman(means), statistics.critical_difference(len(common), len(boards))
    groups = statistics.cliques(ranks["mean_rank"].to_numpy(), distance)
    cliques = tuple(tuple(ranks["label"].iloc[list(group)]) for group in groups)
    return Overall(ranks, test.statistic, test.p, distance, cliques, lacking)


def _mean_ranks(boards: Sequence[Board], common: list[str], means: Floats) -> pd.DataFrame:
    labels = np.array(common, dtype=object)
    cells = [board.cells[board.cells["label"].isin(common)] for board in boards]
    values = [
        _values(own, [board.metric], labels, np.sort(own["seed"].unique()))[board.metric]
        for board, own in zip(boards, cells, strict=True)
    ]
    mean, low, high = statistics.mean_rank_intervals(values, rng=np.random.default_rng(SEED))
    slugs = boards[0].lines.set_index("label")["slug"].reindex(common).to_numpy()
    lines = {"label": common, "slug": slugs, "mean_rank": mean, "low": low, "high": high}
    lines |= {board.slug: own for board, own in zip(boards, statistics.ranks(means), strict=True)}
    return pd.DataFrame(lines).sort_values(["mean_rank", "label"], ignore_index=True)


def _slugs(labels: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for label in sorted(labels):
        found[label] = table.slug([label], list(found.values()))
    return found


def _digest(rows: pd.DataFrame) -> str:
    counted = rows.sort_values("key")[["key", "predictions_digest"]].astype(str)
    return hashlib.sha256(json.dumps(counted.to_numpy().tolist()).encode()).hexdigest()[:16]
