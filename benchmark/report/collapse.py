"""Does collapse matter? Rank correlation of each collapse metric with each fine read-out over methods and seeds."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmark.errors import InputError, unknown
from benchmark.metrics import EXCESS_COLUMNS, METRICS, Metric
from benchmark.report import correlation, table

Mask = NDArray[np.bool_]

RESAMPLES = 2_000
PERMUTATIONS = 9_999
SEED = 0
LEVEL = 0.05
MIN_METHODS = 5  # fewer say nothing about others: no interval, no p-value
CONTROL = "coarse_acc"
HEADLINE = (
    "fine_linear_acc",
    "fine_linear_within_acc",
    "fine_knn_acc",
    "fine_recall_at_1",
    "fine_intra_5shot_acc",
    "fine_cluster_ami",
)
DEFAULT_PAIR = ("subclass_separability", "fine_linear_acc")
GROUP = (*table.GROUP, "coarse_level", "fine_level")  # rows that differ in one of these are never in one correlation
IDENTITY = ("key", "method", "method_params", "method_digest", "seed", "status")
NAMES = ("task", "backbone", "recipe")
STATISTICS = (
    "metric",
    "read_out",
    "n_methods",
    "n_seeds",
    "n_cells",
    "rho",  # Spearman's, over cells
    "low",  # of its 95 % interval
    "high",
    "tau",  # Kendall's tau-b, over cells
    "rho_means",  # Spearman's, over methods, of means over seeds
    "partial_rho",  # Spearman's, over cells, given CONTROL
    "partial_low",
    "partial_high",
    "p",
    "p_adjusted",
    "note",
)
COLUMNS = (*NAMES, *STATISTICS, *(name for name in GROUP if name not in NAMES))
ROUNDING = 1e-12  # smaller values are zero: e.g. NC2 of two classes, which is 0 by construction
FOOT = f"""\
Spearman's ρ over cells (a method with its parameters, a seed), and its 95 % interval: percentiles of {RESAMPLES:,}
bootstrap resamples of whole methods, as seeds of one method are not independent. Fewer than {MIN_METHODS} methods: no
interval. \\* adjusted p < {LEVEL} among all the pairs of the group that were looked at, shown here or not: maxT of
{PERMUTATIONS:,} permutations of the methods (Westfall & Young 1993). "Given coarse accuracy": partial rank correlation,
since methods that train better may raise both. A correlation over methods does not say that a change of the metric
changes the read-out."""


@dataclass(frozen=True)
class Choice:
    """Columns to look at, and the pairs of them to draw cell by cell."""

    metrics: tuple[str, ...]
    readouts: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Comparison:
    """Comparable cells, and the correlations over them.

    Attributes:
        title: task, backbone and recipe in words.
        slug: the same, fit for a file's name and different for every group of a report.
        cells: a row per cell; its columns, `label` for people and `cluster`, the number of its method.
        pairs: a row per metric and read-out, COLUMNS.
        failed: cells left out because they failed.
    """

    title: str
    slug: str
    cells: pd.DataFrame
    pairs: pd.DataFrame
    failed: int

    @property
    def size(self) -> str:
        """How many cells, of what."""
        seeds, methods = self.cells["seed"].nunique(), self.cells["cluster"].nunique()
        failed = f"; {counted(self.failed, 'failed cell')} left out" if self.failed else ""
        few = f"; fewer than {MIN_METHODS} methods say nothing about others" if methods < MIN_METHODS else ""
        counts = ((methods, "method"), (seeds, "seed"), (len(self.cells), "cell"))
        return ", ".join(counted(*count) for count in counts) + failed + few


@dataclass(frozen=True)
class _Block:
    """Pairs of columns that the same n cells have.

    Attributes:
        metrics: p names.
        readouts: q names.
        x: (n, p).
        y: (n, q).
        control: (n,), constant if it is not known of all.
        clusters: (n,).
        seeds: (n,).
    """

    metrics: list[str]
    readouts: list[str]
    x: correlation.Floats
    y: correlation.Floats
    control: correlation.Floats
    clusters: correlation.Ints
    seeds: correlation.Ints

    @property
    def methods(self) -> int:
        return len(np.unique(self.clusters))


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """Rows of several results; a cell that occurs more than once is taken once, finished before failed.

    Args:
        paths: results folders, or results.csv files.

    Raises:
        InputError: if one cannot be read or lacks the columns that say what a row is.
    """
    frame = pd.concat([table.read(path, (*GROUP, *IDENTITY)) for path in paths], ignore_index=True)
    table.check_parameters(frame)
    finished_first = frame.sort_values("status", key=lambda status: status != "ok", kind="stable")
    return finished_first.drop_duplicates("key").sort_index()


def metric_of(column: str) -> Metric:
    """What a column measures; of an excess over a null, what the metric itself does."""
    return METRICS[re.sub("_over_(untrained|shuffled)$", "", column)]


def title_of(column: str) -> str:
    """A column's name for people."""
    title = metric_of(column).title
    return title if column in METRICS else f"{title}, over {column.rsplit('_', 1)[1]}"


def choose(frame: pd.DataFrame, metrics: Sequence[str], readouts: Sequence[str], pairs: Sequence[str]) -> Choice:
    """What to look at: what is named, and what pairs name; where nothing is, all that was measured.

    Args:
        frame: of `read`.
        metrics: collapse columns, excess over a null among them.
        readouts: fine read-outs.
        pairs: `METRIC:READOUT` each, to draw; none: DEFAULT_PAIR, or the first one if that is not among them.

    Raises:
        InputError: for a name that is none of the kind or that no row has, a pair without a colon, or if nothing is
            left.
    """
    named = [_pair(text) for text in pairs]
    of_metrics = [name for name, metric in METRICS.items() if metric.family == "collapse"]
    of_readouts = [name for name, metric in METRICS.items() if metric.family == "read-out"]
    _check(frame, [*metrics, *(metric for metric, _ in named)], [*of_metrics, *EXCESS_COLUMNS], "collapse metric")
    _check(frame, [*readouts, *(readout for _, readout in named)], of_readouts, "fine read-out")
    metrics = [*(metrics or _measured(frame, of_metrics, "collapse metric")), *(metric for metric, _ in named)]
    readouts = [*(readouts or _measured(frame, of_readouts, "fine read-out")), *(readout for _, readout in named)]
    there = DEFAULT_PAIR[0] in metrics and DEFAULT_PAIR[1] in readouts
    drawn = named or [DEFAULT_PAIR if there else (metrics[0], readouts[0])]
    return Choice(tuple(dict.fromkeys(metrics)), tuple(dict.fromkeys(readouts)), tuple(dict.fromkeys(drawn)))


def comparisons(frame: pd.DataFrame, metrics: Sequence[str], readouts: Sequence[str]) -> list[Comparison]:
    """Correlations in every group of comparable rows, in the order of task, backbone and recipe.

    Args:
        frame: of `read`.
        metrics: collapse columns.
        readouts: fine read-outs.

    Raises:
        InputError: if no row is finished.
    """
    found: list[Comparison] = []
    for _, group in frame.groupby(list(GROUP), sort=True, dropna=False):
        cells = group[group["status"] == "ok"]
        if cells.empty:
            continue
        methods = cells.groupby(["method", "method_params", "method_digest"], dropna=False).ngroup()
        cells = cells.assign(label=table.labels(cells), cluster=methods)
        first = cells.iloc[0]
        title = f"{first['task']} · {first['backbone']} · recipe {first['recipe']}"
        slug = table.slug([str(first[name]) for name in NAMES], [other.slug for other in found])
        pairs = correlations(cells, metrics, readouts).assign(**{name: first[name] for name in GROUP})
        found.append(Comparison(title, slug, cells, pairs[list(COLUMNS)], len(group) - len(cells)))
    if not found:
        raise InputError("none of the rows is a finished cell; run them, or name other results folders")
    return found


def correlations(cells: pd.DataFrame, metrics: Sequence[str], readouts: Sequence[str]) -> pd.DataFrame:
    """The correlation of each metric with each read-out over the cells of one group, a row per pair.

    Args:
        cells: one row per cell; the columns named, CONTROL, `seed` and `cluster`, the number of its method from 0.
        metrics: collapse columns.
        readouts: fine read-outs.

    Returns:
        STATISTICS; NaN where a column is constant or not measured, and intervals and p-values also where there are
        fewer than MIN_METHODS methods.
    """
    rng = np.random.default_rng(SEED)
    keys = rng.random((PERMUTATIONS, int(cells["cluster"].max()) + 1))
    blocks = list(_blocks(cells, metrics, readouts))
    figures = [_figures(block, rng) for block in blocks]
    tested = [pair for pair in zip(blocks, figures, strict=True) if pair[0].methods >= MIN_METHODS]
    by_chance = [correlation.exchanged(block.x, block.y, block.clusters, block.seeds, keys) for block, _ in tested]
    tests = correlation.p_values([own["rho"] for _, own in tested], by_chance)
    for (_, own), test in zip(tested, tests, strict=True):
        own["p"], own["p_adjusted"] = test
    both = zip(blocks, figures, strict=True)
    lines = {(line["metric"], line["read_out"]): line for block, own in both for line in _lines(block, own)}
    ordered = [lines[metric, readout] for metric in metrics for readout in readouts]
    return pd.DataFrame(ordered, columns=list(STATISTICS))


def markdown(found: Iterable[Comparison], readouts: Sequence[str] = ()) -> str:
    """Two tables of every group, as it is and given coarse accuracy, and what the figures are.

    Args:
        found: of `comparisons`.
        readouts: columns of the tables; none: those of HEADLINE that were measured.
    """
    blocks, metrics = ["# Does collapse matter?"], dict[str, None]()
    for one in found:
        blocks.append(f"## {one.title}\n\n{one.size}.")
        for heading, lines in views(one, readouts):
            blocks.append(f"**{heading}**\n\n{lines.reset_index().to_markdown(index=False, disable_numparse=True)}")
        metrics |= dict.fromkeys(one.pairs["metric"])
    meanings = [f"- {title_of(name)} (`{name}`): {metric_of(name).meaning}" for name in metrics]
    return "\n\n".join([*blocks, FOOT, "What the metrics say:", "\n".join(meanings)]) + "\n"


def views(one: Comparison, readouts: Sequence[str] = (), intervals: bool = True) -> list[tuple[str, pd.DataFrame]]:
    """The tables of a group as text: headings, and frames of metrics by read-outs under their titles.

    Args:
        one: a group.
        readouts: columns; none: those of HEADLINE that were measured.
        intervals: whether they are shown beside the values, which takes twice the room.
    """
    measured = one.pairs.dropna(subset=["rho"])["read_out"].unique()
    shown = [name for name in (readouts or HEADLINE) if name in measured] or list(measured[: len(HEADLINE)])
    pairs = one.pairs[one.pairs["read_out"].isin(shown)]
    given = pairs.assign(rho=pairs["partial_rho"], low=pairs["partial_low"], high=pairs["partial_high"], p_adjusted=1.0)
    named = (("Spearman's ρ", pairs), ("ρ given coarse accuracy", given))
    return [(heading, _view(rows, shown, intervals)) for heading, rows in named]


def write(found: Sequence[Comparison], folder: Path, readouts: Sequence[str] = ()) -> list[Path]:
    """`collapse.csv`, every pair and every statistic, and `collapse.md`, the tables; the files."""
    long = pd.concat([one.pairs for one in found], ignore_index=True)
    files = [folder / "collapse.csv", folder / "collapse.md"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        long.to_csv(files[0], index=False)
        files[1].write_text(markdown(found, readouts), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot write there ({error.strerror}); name another folder with --out") from None
    return files


def counted(number: int, word: str) -> str:
    """`1 method`, `2 methods`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _view(pairs: pd.DataFrame, readouts: Sequence[str], intervals: bool) -> pd.DataFrame:
    lines: dict[str, dict[str, str]] = {}
    for pair in pairs.to_dict("records"):
        star = "*" if pair["p_adjusted"] < LEVEL else ""
        known = intervals and not np.isnan(pair["low"])
        spread = f" [{pair['low']:+.2f}, {pair['high']:+.2f}]" if known else ""
        shown = "—" if np.isnan(pair["rho"]) else f"{pair['rho']:+.2f}{star}{spread}"
        lines.setdefault(title_of(pair["metric"]), {})[title_of(pair["read_out"])] = shown
    frame = pd.DataFrame.from_dict(lines, orient="index").rename_axis("collapse metric")
    return frame[[title_of(name) for name in readouts]]


def _pair(text: str) -> tuple[str, str]:
    metric, _, readout = (part.strip() for part in text.partition(":"))
    if not (metric and readout):
        raise InputError(f"--pair {text!r}: expected METRIC:READOUT; write e.g. {':'.join(DEFAULT_PAIR)}")
    return metric, readout


def _check(frame: pd.DataFrame, names: Iterable[str], known: Sequence[str], kind: str) -> None:
    for name in names:
        if name not in known:
            raise unknown(kind, name, known, "See `c2f list metrics`.")
        if np.isnan(_numbers(frame, name)).all():
            raise InputError(
                f"{kind} {name}: expected in some row, found in none; leave it out, or score the cells anew"
            )


def _measured(frame: pd.DataFrame, names: Iterable[str], kind: str) -> list[str]:
    found = [name for name in names if not np.isnan(_numbers(frame, name)).all()]
    if not found:
        raise InputError(f"no {kind} in any row; name results with finished cells of a task with fine classes")
    return found


def _numbers(cells: pd.DataFrame, name: str) -> correlation.Floats:
    """(n,) a column, NaN where it is empty or missing."""
    if name not in cells:
        return np.full(len(cells), np.nan)
    values = pd.to_numeric(cells[name], errors="coerce").to_numpy(np.float64)
    return np.where(np.abs(values) < ROUNDING, 0.0, values)  # ranks would take rounding errors for differences


def _blocks(cells: pd.DataFrame, metrics: Sequence[str], readouts: Sequence[str]) -> Iterator[_Block]:
    """All pairs, those together that are known of the same cells."""
    control, clusters = _numbers(cells, CONTROL), cells["cluster"].to_numpy(np.int64)
    seeds = pd.factorize(cells["seed"], sort=True)[0].astype(np.int64)
    for in_metrics, x in _by_presence(cells, metrics):
        for in_readouts, y in _by_presence(cells, readouts):
            both = in_metrics & in_readouts
            third = np.zeros(both.sum()) if np.isnan(control[both]).any() else control[both]
            of_x, of_y = (np.stack([own[both] for own in columns.values()], axis=1) for columns in (x, y))
            yield _Block(list(x), list(y), of_x, of_y, third, clusters[both], seeds[both])


def _by_presence(cells: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[Mask, dict[str, correlation.Floats]]]:
    """Columns by the set of cells that have them."""
    columns = {name: _numbers(cells, name) for name in names}
    sets = {name: (~np.isnan(values)).tobytes() for name, values in columns.items()}
    for own in dict.fromkeys(sets.values()):
        together = {name: columns[name] for name in names if sets[name] == own}
        yield ~np.isnan(next(iter(together.values()))), together


def _figures(block: _Block, rng: np.random.Generator) -> dict[str, correlation.Floats]:
    """(p, q) each: the statistics of a block's pairs but for the p-values."""
    x, y, shape = block.x, block.y, (len(block.metrics), len(block.readouts))
    inference = ("low", "high", "partial_low", "partial_high", "p", "p_adjusted")
    figures = {name: np.full(shape, np.nan) for name in inference}
    figures["rho"] = correlation.spearman(x, y)[0]
    figures["partial_rho"] = correlation.partial(x, y, block.control)[0]
    mean_x, mean_y = (correlation.cluster_means(values, block.clusters) for values in (x, y))
    figures["rho_means"] = correlation.spearman(mean_x, mean_y)[0]
    tau = [[stats.kendalltau(a, b).statistic if len(a) else np.nan for b in y.T] for a in x.T]
    figures["tau"] = np.array(tau)
    if block.methods >= MIN_METHODS:
        weights = correlation.cluster_weights(block.clusters, RESAMPLES, rng)
        figures["low"], figures["high"] = correlation.interval(correlation.spearman(x, y, weights))
        partials = correlation.partial(x, y, block.control, weights)
        figures["partial_low"], figures["partial_high"] = correlation.interval(partials)
    return figures


def _lines(block: _Block, figures: Mapping[str, correlation.Floats]) -> Iterator[dict[str, object]]:
    size = {"n_methods": block.methods, "n_seeds": len(np.unique(block.seeds)), "n_cells": len(block.x)}
    few = f"fewer than {MIN_METHODS} methods: no interval" if block.methods < MIN_METHODS else ""
    for i, metric in enumerate(block.metrics):
        for j, readout in enumerate(block.readouts):
            own = {name: values[i, j] for name, values in figures.items()}
            note = "constant or not measured" if np.isnan(own["rho"]) else few
            yield {"metric": metric, "read_out": readout, **size, **own, "note": note}
