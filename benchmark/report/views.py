"""What a picture shows: tidy frames of a board, which matplotlib and the site draw alike.

Shares of images, such as accuracies, are in per cent in every frame here; everything else is in the unit of its column.
Methods come in the board's order, best first; those without a finished seed are not drawn but noted.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from benchmark.errors import InputError, unknown
from benchmark.metrics import EXCESS_COLUMNS, METRICS, WORST
from benchmark.report import statistics
from benchmark.report.board import Board, Floats, Leaderboard, Overall
from benchmark.report.collapse import counted, metric_of, title_of
from benchmark.report.table import in_per_cent, natural
from benchmark.schema import digest

Needs = Literal["board", "scores", "history", "overall", "features"]
Projection = Literal["pca", "tsne"]

BASELINE = "baseline"
ALIGNMENTS = ("alignment_fine", "alignment_coarse", "alignment_between")
DEFAULT_COLLAPSE = "subclass_separability"
QUANTITIES = MappingProxyType(
    {"train_acc": "training accuracy, coarse", "val_acc": "validation accuracy, coarse", "loss": "training loss"}
)
TITLES = MappingProxyType(
    {
        "coarse_val_acc": "coarse accuracy, validation",
        "fine_val_acc": "fine accuracy, validation",
        "probe_l2": "L2 of the linear probe",
        "pretrain_seconds": "time to pretrain, seconds",
    }
)
MACHINE = ("device", "device_name", "num_threads", "precision")  # seconds are compared only where these agree
MAX_POINTS = 2_000
WIDE_RANGE = 20  # largest over smallest value from which an axis is logarithmic
CHUNK = 200_000  # lines of a long table at a time, which bounds memory

# Columns of the frames.
SUMMARY = ("label", "slug", "n", "separable", "tied")  # of every frame with a row per method
ACCURACY = (*SUMMARY, "mean", "low", "high")
PAIR = (*SUMMARY, "x", "x_low", "x_high", "y", "y_low", "y_high")
CURVES = ("label", "slug", "quantity", "epoch", "mean", "low", "high", "n")  # low, high: of the seeds, no interval
BY_SUPERCLASS = ("label", "slug", "superclass", "mean", "low", "high", "n")
RANKS = ("label", "slug", "mean_rank", "low", "high")
CLIQUES = ("clique", "first", "last", "labels")  # mean ranks at both ends; labels joined by commas
FEATURES = ("x", "y", "coarse", "fine")
SEEDS = ("label", "slug", "seed")  # of details with a row per cell; then "value", or "x" and "y"
SCORES = ("key", "metric", "superclass", "value")  # of `scores`
HISTORY = ("key", "epoch")  # of `history`; then the quantities


@dataclass(frozen=True)
class View:
    """A kind of picture.

    Attributes:
        title: of the kind.
        caption: what is drawn, and what its intervals are of.
        needs: what it is made from, beside the board.
    """

    title: str
    caption: str
    needs: Needs = "board"


INTERVAL = "Lines: 95 % t-interval of the expected score over seeds."
MARKS = "Large marks: means over seeds; small ones: seeds. Lines, where there is room: 95 % t-interval over seeds."
VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "accuracy": View(
            "Accuracy",
            f"Mean over seeds; small marks are seeds. {INTERVAL} Filled: cannot be told from the best; hollow: can; "
            "grey: too few seeds to compare.",
        ),
        "tradeoff": View("Coarse against fine", f"What was trained against what was not. {MARKS}"),
        "plane": View(
            "Alignment and uniformity",
            f"How far images of a class are apart, against how evenly all are spread over the sphere. {MARKS} "
            "Down and left: collapsed classes on a well-used sphere.",
        ),
        "collapse": View("Collapse against accuracy", MARKS),
        "cost": View(
            "Accuracy against cost",
            f"Seconds of pretraining over those of the baseline on the same machine. {MARKS}",
        ),
        "curves": View(
            "Training", "Mean over seeds by epoch; bands: from the lowest to the highest seed.", needs="history"
        ),
        "margins": View(
            "Margins by superclass",
            "Mean distance of a superclass's test images to the coarse decision boundary, means over seeds; balanced "
            "where the marks of a method coincide.",
            needs="scores",
        ),
        "superclasses": View(
            "Accuracy by superclass", "Means over seeds, test images of one superclass each.", needs="scores"
        ),
        "ranks": View(
            "Ranks over boards",
            "Mean ranks, 1 is best; lines: 95 % bootstrap interval over seeds, boards fixed. Bars join methods that "
            "Nemenyi's test cannot tell apart at 0.05.",
            needs="overall",
        ),
        "features": View(
            "Features",
            "Test images of one cell, features before the head, projected to two dimensions.",
            needs="features",
        ),
    }
)


@dataclass(frozen=True)
class Axis:
    """One direction of a picture.

    Attributes:
        column: of results.csv that it shows, or "".
        title: with the unit.
        log: whether values span so much that a logarithmic scale shows more.
    """

    column: str
    title: str
    log: bool = False


@dataclass(frozen=True)
class Picture:
    """Everything that one picture shows.

    Attributes:
        kind: of VIEWS.
        title: what it is of.
        x: horizontal.
        y: vertical.
        frame: columns by kind, above: ACCURACY, PAIR, CURVES, BY_SUPERCLASS, RANKS or FEATURES.
        details: a second layer: SEEDS with `value` of ACCURACY, SEEDS with `x` and `y` of PAIR, CLIQUES of RANKS; else
            without rows.
        guide: a value to hold the others against: the reference's mean accuracy, the baseline's cost (1), the critical
            difference of ranks; NaN where there is none.
        notes: what is not shown and why, and other remarks, a sentence each.
        labels: every method to be shown, the baseline first, then by name: whatever tells methods apart by colour
            goes by these, and is the same in all pictures of the board.
    """

    kind: str
    title: str
    x: Axis
    y: Axis
    frame: pd.DataFrame
    details: pd.DataFrame
    guide: float = np.nan
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """All there is to say in words."""
        return " ".join([VIEWS[self.kind].caption, *self.notes])


METHOD = Axis("", "")
COST = Axis("pretrain_seconds", "time to pretrain, over the baseline's")


def undrawn(shown: Iterable[str]) -> set[str]:
    """Scores that a site neither draws nor shows: left unread they take neither time nor memory.

    Args:
        shown: columns of its tables.
    """
    drawn = (*shown, "coarse_acc", "uniformity", ALIGNMENTS[0], DEFAULT_COLLAPSE)
    return {*METRICS, *EXCESS_COLUMNS}.difference(drawn)


def of_task(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """Rows of a task; of all where none is named.

    Raises:
        InputError: if no row is of it.
    """
    if task and task not in set(frame["task"]):
        raise unknown("task", task, set(frame["task"]), "Name a task of the rows.")
    return frame[frame["task"] == task] if task else frame


def check(kind: str, against: str) -> None:
    """Raise InputError unless there is such a kind, and `against` is something to draw it against, or empty."""
    of_collapse = [name for name, metric in METRICS.items() if metric.family == "collapse"]
    allowed = {"collapse": (*of_collapse, *EXCESS_COLUMNS), "plane": ALIGNMENTS}
    if kind not in VIEWS:
        raise unknown("kind of picture", kind, VIEWS, "See `c2f plot --help`.")
    if against and kind not in allowed:
        raise InputError(f"--against {against!r}: goes with {' and '.join(allowed)} alone; leave it out for {kind}")
    if against and against not in allowed[kind]:
        raise unknown("column to draw against", against, allowed[kind], "See `c2f list metrics`.")


def pictures(kind: str, found: Leaderboard, methods: Sequence[str] = (), against: str = "") -> dict[str, Picture]:
    """A kind of picture of every board, by the board's slug; of ranks one, under "overall".

    Args:
        kind: of VIEWS, but for features, of which there is a picture per cell.
        found: its folders hold the long tables that some kinds need; each is read once.
        methods: to show, labels or names of methods; none: all. What is told apart stays as it is among all.
        against: of `collapse` the collapse metric, of `plane` the alignment; empty: the usual one.

    Raises:
        InputError: for a name that is none, or if nothing is left to show.
    """
    check(kind, against)
    if kind == "ranks":
        if found.overall is None:
            raise InputError("ranks need two boards or more that rank methods; name further results folders")
        return {"overall": ranks(found.overall)}
    folders = [Path(folder) for folder in found.folders]
    tables: dict[Needs, Callable[[], pd.DataFrame]] = {
        "scores": lambda: scores(folders, ["margin_mean", found.boards[0].metric]),
        "history": lambda: history(folders),
    }
    needs = VIEWS[kind].needs
    given = [tables[needs]()] if needs in tables else [against] if against else []
    drawn: dict[str, Callable[..., Picture]] = {
        "accuracy": accuracy,
        "tradeoff": tradeoff,
        "plane": plane,
        "collapse": collapse,
        "cost": cost,
        "curves": curves,
        "margins": margins,
        "superclasses": superclasses,
    }
    labels = labels_of(found.boards, methods)
    whole = {board.slug: drawn[kind](board, *given) for board in found.boards}
    return {slug: _showing(picture, labels) for slug, picture in whole.items()}


def labels_of(boards: Sequence[Board], methods: Sequence[str]) -> set[str]:
    """Labels of the methods named, by label or name, in any of the boards; of all where none is named.

    Raises:
        InputError: for a method that no board has.
    """
    lines = pd.concat([board.lines[["label", "method"]] for board in boards])
    for name in methods:
        if name not in {*lines["label"], *lines["method"]}:
            raise unknown("method", name, {*lines["label"]}, "Name one of the rows.")
    named = lines["label"].isin(methods) | lines["method"].isin(methods)
    return set(lines.loc[named if methods else lines["label"].notna(), "label"])


def accuracy(board: Board) -> Picture:
    """The board's metric, a row per method. Frame: ACCURACY."""
    values = _values(board, board.cells, {"mean": board.metric})
    frame = _summary(board, values, ["mean"]).rename(columns={"mean_low": "low", "mean_high": "high"})
    guide = float(frame.set_index("label")["mean"].get(board.reference, np.nan))
    details = values.rename(columns={"mean": "value"})
    notes = _missing(board, board.lines[board.lines["n"] > 0], "No finished seed of")
    return Picture("accuracy", board.title, _axis(board.metric), METHOD, frame, details, guide, notes, _labels(board))


def tradeoff(board: Board) -> Picture:
    """Coarse accuracy against the board's metric. Frame: PAIR."""
    return _pair("tradeoff", board, board.cells, ("coarse_acc", board.metric))


def plane(board: Board, alignment: str = ALIGNMENTS[0]) -> Picture:
    """Uniformity against alignment, one of ALIGNMENTS. Frame: PAIR."""
    return _pair("plane", board, board.cells, ("uniformity", alignment))


def collapse(board: Board, metric: str = DEFAULT_COLLAPSE) -> Picture:
    """A collapse metric, or its excess over a null, against the board's metric. Frame: PAIR."""
    picture = _pair("collapse", board, board.cells, (metric, board.metric))
    meaning = metric_of(metric).meaning
    return replace(picture, notes=(f"{picture.x.title}: {meaning}.", *picture.notes))


def cost(board: Board) -> Picture:
    """Seconds of pretraining over the baseline's against the board's metric. Frame: PAIR.

    Seconds are those of the machine on which most cells of the baseline ran; methods without cells there are noted.
    The baseline's own spread is not part of the intervals of other methods.
    """
    cells, is_baseline = board.cells, board.cells["method"] == BASELINE
    columns = ("pretrain_seconds", board.metric)
    if not is_baseline.any():
        nothing = _pair("cost", board, cells.iloc[:0], columns)
        return replace(nothing, x=COST, notes=("No finished cell of the baseline to compare seconds with.",))
    parts = (cells[name].astype(object).fillna("unknown").tolist() for name in MACHINE)
    machine = pd.Series([", ".join(map(str, each)) for each in zip(*parts, strict=True)], cells.index)
    chosen = machine[is_baseline].mode()[0]
    seconds = pd.to_numeric(cells["pretrain_seconds"]).where(machine == chosen)
    ratio = seconds.where(seconds > 0) / seconds[is_baseline].mean()
    picture = _pair("cost", board, cells[["label", "seed", board.metric]].assign(pretrain_seconds=ratio), columns)
    where = f"Measured where {', '.join(MACHINE)} are {chosen}."
    return replace(picture, x=replace(COST, log=picture.x.log), guide=1.0, notes=(where, *picture.notes))


def curves(board: Board, history: pd.DataFrame) -> Picture:
    """What `history` has, by epoch, counted from 1. Frame: CURVES; `low` and `high` are the extreme seeds.

    Args:
        board: gives methods and seeds.
        history: of `history`.
    """
    quantities = [name for name in history.columns if name not in HISTORY]
    long = (
        board.cells[["key", "label"]]
        .merge(history, on="key")
        .melt(["label", "epoch"], quantities, var_name="quantity", value_name="mean")
    )
    shown = long["mean"].astype(float) * long["quantity"].map(_factor).astype(float)
    known = long.assign(mean=shown).dropna(subset=["mean"]).sort_values("epoch", kind="stable")
    found = (
        known.groupby(["label", "quantity", "epoch"], sort=False)["mean"]
        .agg(["mean", "min", "max", "count"])
        .reset_index()
    )
    found["epoch"] += 1
    frame = _ordered(board, found.rename(columns={"min": "low", "max": "high", "count": "n"}), CURVES)
    notes = _missing(board, frame, "No history of")
    x = Axis("epoch", "epoch")
    return Picture("curves", board.title, x, Axis("", ""), frame, _none(), notes=notes, labels=_labels(board))


def margins(board: Board, scores: pd.DataFrame) -> Picture:
    """`margin_mean` of every superclass. Frame: BY_SUPERCLASS, from `scores`."""
    return _by_superclass("margins", board, scores, "margin_mean")


def superclasses(board: Board, scores: pd.DataFrame, metric: str = "") -> Picture:
    """A metric, the board's unless named, of every superclass, hardest first. Frame: BY_SUPERCLASS, from `scores`."""
    return _by_superclass("superclasses", board, scores, metric or board.metric)


def ranks(overall: Overall) -> Picture:
    """Mean ranks over boards, and groups of methods that Nemenyi's test cannot tell apart. Frame: RANKS."""
    frame = overall.ranks[list(RANKS)].reset_index(drop=True)
    of = frame.set_index("label")["mean_rank"]
    ends = [(of[list(group)].min(), of[list(group)].max(), ", ".join(group)) for group in overall.cliques]
    details = pd.DataFrame([(i, *end) for i, end in enumerate(ends)], columns=list(CLIQUES))
    boards = counted(len(overall.ranks.columns) - len(RANKS), "board")
    test = f"Friedman's χ² = {overall.statistic:.2f}, p = {overall.p:.3g}." if np.isfinite(overall.p) else ""
    size = overall.critical_difference
    critical = f"Critical difference {size:.2f}." if np.isfinite(size) else ""
    left_out = "; ".join(f"{label}: {why}" for label, why in overall.left_out.items())
    notes = (test, critical, f"Left out, too few seeds on a board: {left_out}." if left_out else "")
    title = f"{counted(len(frame), 'method')} on {boards}"
    x = Axis("", "mean rank")
    return Picture("ranks", title, x, METHOD, frame, details, size, tuple(filter(None, notes)))


def features(path: Path, title: str, classes: Sequence[tuple[str, str]] = (), method: Projection = "pca") -> Picture:
    """Kept features of test images in two dimensions. Frame: FEATURES; at most MAX_POINTS, drawn without replacement.

    Args:
        path: a file that `run --keep-features` wrote.
        title: of the cell.
        classes: superclass and name of every fine class, in the order of their numbers; none: numbers are shown, and
            `coarse` is empty.
        method: principal components of the features as they are, or t-SNE (perplexity 30, from those components).

    Raises:
        InputError: if the file is no such file, or its labels are not of these classes.
    """
    values, labels = _kept(path)
    if classes and labels.max(initial=0) >= len(classes):
        raise InputError(f"{path}: has a fine class {labels.max()} of {len(classes)}; name the task it was made for")
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(values))[:MAX_POINTS])
    found, titles = _projected(values[chosen], method)
    names = [classes[i] if classes else ("", f"class {i}") for i in labels[chosen]]
    frame = pd.DataFrame({"x": found[:, 0], "y": found[:, 1]}).assign(
        coarse=[coarse for coarse, _ in names], fine=[fine for _, fine in names]
    )
    notes = (f"{len(chosen):,} of {len(values):,} test images.",) if len(chosen) < len(values) else ()
    return Picture("features", title, Axis("", titles[0]), Axis("", titles[1]), frame, _none(), notes=notes)


def scores(folders: Sequence[Path], metrics: Collection[str]) -> pd.DataFrame:
    """What scores.csv says of metrics by superclass, on test, before the head. A folder's file is read once, in chunks.

    Args:
        folders: results folders; a cell that is in several counts once.
        metrics: names of METRICS.

    Returns:
        SCORES; superclass is never WORST and never empty.

    Raises:
        InputError: if a file is missing or has other columns.
    """
    columns = ("key", "metric", "value", "split", "layer", "superclass")

    def wanted(chunk: pd.DataFrame) -> pd.DataFrame:
        single = chunk["superclass"].notna() & (chunk["superclass"] != WORST)
        of_test = (chunk["split"] == "test") & chunk["layer"].isna()
        return chunk.loc[chunk["metric"].isin(list(metrics)) & of_test & single, list(SCORES)]

    parts = [part for folder in folders for part in _chunks(folder / "scores.csv", columns, wanted)]
    return _joined(parts, SCORES, ["key", "metric", "superclass"])


def history(folders: Sequence[Path], quantities: Collection[str] = tuple(QUANTITIES)) -> pd.DataFrame:
    """Columns of history.csv. A folder's file is read once, in chunks.

    Args:
        folders: results folders; a cell that is in several counts once.
        quantities: columns; a collapse metric is there where cells ran with --track, "lam" where a method writes it.

    Returns:
        HISTORY and the quantities, NaN where a cell has none; epochs from 0.

    Raises:
        InputError: if a file is missing or has no such column.
    """
    columns = (*HISTORY, *quantities)
    parts = [part for folder in folders for part in _chunks(folder / "history.csv", columns, lambda chunk: chunk)]
    return _joined(parts, columns, list(HISTORY))


def embedded(
    found: Leaderboard,
    classes: Mapping[str, Sequence[tuple[str, str]]],
    methods: Sequence[str] = (),
    seed: int = 0,
    method: str = "pca",
) -> dict[str, Picture]:
    """Kept features of one seed of every method, by the slugs of board and method.

    Args:
        found: gives methods and cells.
        classes: of tasks, see `features`; classes of others are shown by their numbers.
        methods: to show, labels or names of methods; none: all that have features.
        seed: of the cells.
        method: one of Projection.

    Raises:
        InputError: for a name that is none, or if there are no such features.
    """
    if method not in get_args(Projection):
        raise unknown("projection", method, get_args(Projection), "Name one of these with --projection.")
    labels, projection = labels_of(found.boards, methods), cast(Projection, method)
    drawn: dict[str, Picture] = {}
    for board in found.boards:
        chosen = board.cells[board.cells["label"].isin(labels) & (board.cells["seed"] == seed)]
        kept = kept_features(chosen)
        cells = _ordered(board, chosen[chosen["key"].isin(list(kept))], ("label", "slug", "key"))
        names = classes.get(board.group["task"], ())
        for label, slug, key in cells.itertuples(index=False):
            title = f"{board.title} · {label}, seed {seed}"
            drawn[f"{board.slug}-{slug}"] = features(kept[key], title, names, projection)
    if not drawn:
        raise InputError(f"no kept features of seed {seed} of these methods; run the cells with --keep-features")
    return drawn


def kept_features(cells: pd.DataFrame) -> dict[str, Path]:
    """Files of features that were kept beside rows, by the rows' keys.

    Args:
        cells: rows with CELL_COLUMNS, `features_digest` and `folder`, as those of a board.
    """
    kept = cells[cells["features_digest"].notna() & (cells["features_digest"] != "")]
    paths = {row["key"]: Path(row["folder"], "features", f"{_features_key(row)}.safetensors") for row in _records(kept)}
    return {key: path for key, path in paths.items() if path.is_file()}


def axis_title(column: str) -> str:
    """A column of results.csv or history.csv for people, with its unit."""
    known = {**TITLES, **QUANTITIES}
    title = known[column] if column in known else title_of(column)
    return f"{title} (%)" if in_per_cent(column) else title


def _showing(picture: Picture, labels: Collection[str]) -> Picture:
    """Some of the methods; what is told apart, and what others are held against, stays as it was among all."""
    frame, details = (
        own[own["label"].isin(labels)].reset_index(drop=True) if "label" in own else own
        for own in (picture.frame, picture.details)
    )
    return replace(picture, frame=frame, details=details, labels=tuple(x for x in picture.labels if x in labels))


def _pair(kind: str, board: Board, cells: pd.DataFrame, columns: tuple[str, str]) -> Picture:
    values = _values(board, cells, dict(zip("xy", columns, strict=True)))
    frame = _summary(board, values, ["x", "y"])
    x, y = (_axis(column, frame[name]) for name, column in zip("xy", columns, strict=True))
    notes = _missing(board, frame, "Not drawn, as one of the two is not known:")
    details = values.dropna().reset_index(drop=True)
    return Picture(kind, board.title, x, y, frame, details, notes=notes, labels=_labels(board))


def _by_superclass(kind: str, board: Board, scores: pd.DataFrame, metric: str) -> Picture:
    own = scores[scores["metric"] == metric]
    long = board.cells[["key", "label", "seed"]].merge(own, on="key")
    long["mean"] = long["value"] * _factor(metric)
    found = _intervals(long, ["label", "superclass"], "mean").reset_index()
    hardest = found.groupby("superclass")["mean"].mean().sort_values(kind="stable").index
    frame = found.rename(columns={f"mean_{name}": name for name in ("low", "high", "n")})
    frame["superclass"] = pd.Categorical(frame["superclass"], hardest, ordered=True)
    frame = _ordered(board, frame.sort_values("superclass", kind="stable"), BY_SUPERCLASS)
    notes = _missing(board, frame, "Nothing by superclass of")
    frame = frame.astype({"superclass": str})
    return Picture(kind, board.title, _axis(metric), METHOD, frame, _none(), notes=notes, labels=_labels(board))


def _values(board: Board, cells: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """SEEDS and columns under new names, in the unit shown; what is not finite is NaN."""
    labels, seeds = pd.Index(board.lines["label"]), cells["seed"].to_numpy()
    place = labels.get_indexer(cells["label"])
    order = np.lexsort((seeds, place))
    frame = pd.DataFrame({name: board.lines[name].to_numpy()[place[order]] for name in ("label", "slug")})
    frame["seed"] = seeds[order]
    for name, column in columns.items():
        numbers = pd.to_numeric(cells[column], errors="coerce") if column in cells else pd.Series(np.nan, cells.index)
        own = numbers.to_numpy(np.float64)[order] * _factor(column)
        frame[name] = np.where(np.isfinite(own), own, np.nan)
    return frame


def _summary(board: Board, values: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """SUMMARY and each name's mean, `_low` and `_high`; methods that have all of them."""
    place = pd.Index(board.lines["label"]).get_indexer(values["label"])
    seeds, row = np.unique(values["seed"].to_numpy(), return_inverse=True)
    whole = {name: board.lines[name].to_numpy() for name in SUMMARY}
    for name in names:
        by_seed = np.full((len(seeds), len(board.lines)), np.nan)
        by_seed[row, place] = values[name]
        found = statistics.mean_intervals(by_seed)
        whole |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
    return pd.DataFrame(whole).dropna(subset=list(names)).reset_index(drop=True)


def _intervals(values: pd.DataFrame, by: Sequence[str], name: str) -> pd.DataFrame:
    """Mean over seeds of a column by groups, its t-interval and the number of seeds."""
    by_seed = values.pivot_table(index="seed", columns=list(by), values=name)
    found = statistics.mean_intervals(by_seed.to_numpy(np.float64))
    columns = {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_n": found.n}
    return pd.DataFrame(columns, index=by_seed.columns)


def _ordered(board: Board, frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Rows in the order of the board's lines, stable, with their slugs."""
    lines = board.lines[["label", "slug"]].assign(_place=range(len(board.lines)))
    whole = frame.merge(lines, on="label").sort_values("_place", kind="stable")
    return whole[list(columns)].reset_index(drop=True)


def _labels(board: Board) -> tuple[str, ...]:
    """Every method, the baseline first, then by name."""
    found = dict(zip(board.lines["label"].tolist(), board.lines["method"].tolist(), strict=True))
    return tuple(sorted(found, key=lambda label: (found[label] != BASELINE, natural(label))))


def _missing(board: Board, frame: pd.DataFrame, words: str) -> tuple[str, ...]:
    """A sentence on methods of the board that a frame has not."""
    there = set(frame["label"].tolist())
    absent = [label for label in board.lines["label"].tolist() if label not in there]
    return (f"{words} {', '.join(absent)}.",) if absent else ()


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _features_key(row: Mapping[str, Any]) -> str:
    """`Cell.features_key` from the columns of a row."""
    same = ("task", "kind", "hierarchy_digest", "data_digest", "backbone", "method")
    identity = {name: row[name] for name in same}
    identity |= {name: int(row[name]) for name in ("hierarchy_version", "seed")}
    recipe = json.loads(row["recipe_params"])
    identity |= {"compile": True} if recipe.pop("compile", False) else {}
    identity |= {"coarse": row["coarse_level"], "fine": row["fine_level"], "recipe": recipe}
    identity |= {name: json.loads(row[name]) for name in ("backbone_args", "method_params")}
    plugin, measures = row["method_digest"], json.loads(row["measures"])
    identity |= {"method_digest": plugin} if isinstance(plugin, str) and plugin else {}
    return digest(identity | ({"measures": measures} if measures else {}), length=20)


def _factor(column: str) -> float:
    return 100.0 if in_per_cent(column) else 1.0


def _axis(column: str, values: Collection[float] = ()) -> Axis:
    low, high = (min(values), max(values)) if len(values) else (0.0, 0.0)
    return Axis(column, axis_title(column), log=0 < low < high / WIDE_RANGE)


def _none() -> pd.DataFrame:
    return pd.DataFrame()


def _chunks(
    path: Path, columns: Sequence[str], wanted: Callable[[pd.DataFrame], pd.DataFrame]
) -> Iterator[pd.DataFrame]:
    """What is wanted of a long table; no more of it than CHUNK lines is ever in memory."""
    text = {name: str for name in columns if name in ("key", "metric", "split", "layer", "superclass")}
    try:
        with pd.read_csv(
            path, usecols=list(columns), dtype=text, keep_default_na=False, na_values=[""], chunksize=CHUNK
        ) as chunks:
            for chunk in chunks:
                yield wanted(chunk)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); write it anew, or name another results folder") from None


def _joined(parts: Sequence[pd.DataFrame], columns: Sequence[str], identity: Sequence[str]) -> pd.DataFrame:
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
    return whole[list(columns)].drop_duplicates(list(identity)).reset_index(drop=True)


def _kept(path: Path) -> tuple[Floats, NDArray[np.int64]]:
    """(N, D) features and (N,) fine labels of test."""
    try:
        with safe_open(path, framework="np") as file:
            values, labels = file.get_tensor("features.test"), file.get_tensor("labels.test")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: no file of kept features ({error}); run with --keep-features") from None
    fit = values.ndim == 2 and min(values.shape) > 2 and labels.shape == values.shape[:1] and labels.dtype.kind in "iu"
    if not (fit and np.isfinite(values).all()):
        raise InputError(f"{path}: features {values.shape} and labels {labels.shape} do not fit; run the cell anew")
    return values.astype(np.float64), labels.astype(np.int64)


def _projected(values: Floats, method: Projection) -> tuple[Floats, tuple[str, str]]:
    """(N, D) -> (N, 2), and what the axes are; signs are such that the largest loading of an axis is positive."""
    centred = values - values.mean(axis=0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(vt[np.arange(len(vt)), np.abs(vt).argmax(axis=1)])
    components = u * s * np.where(signs == 0, 1, signs)
    if method == "tsne":
        from sklearn.manifold import TSNE  # takes a second

        perplexity = min(30, (len(values) - 1) / 3)
        found = TSNE(perplexity=perplexity, init=components[:, :2] / components[:, 0].std() * 1e-4, random_state=0)
        return found.fit_transform(components[:, :50]).astype(np.float64), ("t-SNE 1", "t-SNE 2")
    share = s**2 / np.sum(s**2)
    titles = [f"principal component {i + 1} ({share[i]:.0%} of the variance)" for i in range(2)]
    return components[:, :2], (titles[0], titles[1])
