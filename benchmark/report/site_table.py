"""The site's main table: a board's lines as the texts, sorting keys and marks that a page shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from benchmark.metrics import METRICS
from benchmark.report import table
from benchmark.report.board import About, Board
from benchmark.report.collapse import counted, title_of

# Beside the ranking metric, the difference and the seeds, a page begins with these; the rest is a click away.
SHOWN_FIRST = ("coarse_acc", "pretrain_seconds")
SHOWN_COLLAPSE = 3  # of the collapse metrics, as many
COST = {
    "pretrain_seconds": ("pretraining s", "seconds of pretraining, where the cell ran; comparable on one machine"),
    "extract_seconds": ("extraction s", "seconds of the frozen pass over the splits"),
    "fine_tune_seconds": ("fine-tuning s", "seconds of fine-tuning; 0 without --fine-tune"),
    "score_seconds": ("scoring s", "seconds of the read-outs and collapse metrics"),
    "images_per_second": ("images / s", "of the training loop, median over epochs"),
    "peak_memory_mb": ("memory MiB", "peak: resident set on a CPU, allocated memory on a GPU"),
}
Record = Mapping[Any, Any]  # a line of a board
Scale = tuple[float, float]
UP = "ascending"
DRAWN = ("method", "whisker")  # columns that are more than text
IDENTITY = ("label", "method", "slug", "n", "separable", "tied", "failed", "missing")
REASON_LENGTH = 160  # of a failure, in the table; the page of the method has the whole


@dataclass(frozen=True)
class Head:
    """A column of the table.

    Attributes:
        name: what it shows.
        title: for people.
        meaning: in a sentence, or "".
        classes: of every cell, for CSS.
        first: order of the first click; "" where lines cannot be sorted by it.
    """

    name: str
    title: str
    meaning: str
    classes: str = ""
    first: str = "descending"

    @property
    def sortable(self) -> bool:
        """Whether its heading is a button."""
        return bool(self.first)


@dataclass(frozen=True)
class Heads:
    """The columns, the ranking metric in words, and the name of its column."""

    columns: tuple[Head, ...]
    metric: str
    score: str

    @property
    def last(self) -> tuple[str, ...]:
        """Names of those behind the whisker."""
        names = [head.name for head in self.columns]
        return tuple(names[names.index("whisker") + 1 :])


class Cell(NamedTuple):
    """What stands in one place, digits and signs alone: text, a smaller one below, the key that sorts ("" is last)."""

    text: str
    detail: str = ""
    sort: str = ""
    classes: str = ""

    @property
    def html(self) -> str:
        """As an element of a table."""
        classes = f' class="{self.classes}"' if self.classes else ""
        detail = f' <span class="sub">{escape(self.detail)}</span>' if self.detail else ""
        return f'<td{classes} data-sort="{self.sort}">{escape(self.text)}{detail}</td>'


@dataclass(frozen=True)
class Whisker:
    """Mean and interval on the board's scale, per cent of the width; clipped where the interval is longer."""

    low: float
    width: float
    mean: float
    clipped: bool


@dataclass(frozen=True)
class Line:
    """A line of the table; `finished`: whether it has rows to show the provenance of.

    `cells` are those of all heads but the method's name and the whisker, which are more than text.
    """

    label: str
    slug: str
    family: str
    remark: str
    classes: str
    reference: bool
    finished: bool
    notes: tuple[str, ...]
    cells: Mapping[str, Cell]
    whisker: Whisker | None

    def html(self, *names: str) -> Markup:
        """Some cells as elements."""
        return Markup("\n".join(self.cells[name].html for name in names))  # escaped in `Cell`


@dataclass(frozen=True)
class Shown:
    """A board as a page shows it; `reference_at`: the reference's mean on the whiskers' scale, per cent."""

    slug: str
    title: str
    group: Mapping[str, str]
    summary: str
    sentence: str
    reference_at: float
    lines: tuple[Line, ...]


def shown(board: Board, heads: Heads, about: Mapping[str, About]) -> Shown:
    """A board's lines in the columns of `heads`.

    Args:
        board: one board.
        heads: of all boards of the page.
        about: methods by name; one that is missing is of an unknown family.
    """
    scale = _scale(board)
    names = [*IDENTITY, board.metric, f"{board.metric}_low", f"{board.metric}_high"]
    records = board.lines[names].to_dict("records")
    reference = next((one[board.metric] for one in records if one["label"] == board.reference), math.nan)
    columns = {head.name: _cells(board, head) for head in heads.columns if head.name not in DRAWN}
    cells = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Shown(
        slug=board.slug,
        title=board.title,
        group=board.group,
        summary=summary(board),
        sentence=sentence(board),
        reference_at=_place(reference, scale) if math.isfinite(reference) else -1.0,
        lines=tuple(_line(board, line, own, about, scale) for line, own in zip(records, cells, strict=True)),
    )


def heads_of(boards: Sequence[Board]) -> Heads:
    """The columns of a table of several boards: those that any of them shows."""
    metric = boards[0].metric
    columns = tuple(dict.fromkeys(name for board in boards for name in board.columns))
    first = _shown_first(columns, metric)
    rest = [_head(name, "second", optional=name not in first) for name in columns if name != metric]
    interval = Head("whisker", "95 % interval", "of the mean over seeds; the fine line is the reference", "graphic", "")
    references = {board.reference for board in boards if board.reference}
    reference = next(iter(references)) if len(references) == 1 else "reference"
    fixed = [
        Head("rank", "Rank", "of the mean; below, the ranks that it may have, all methods at once at 95 %", "rank", UP),
        Head("method", "Method", "", "method", UP),
        _head(metric, "score"),
        interval,
        Head("difference", f"Δ {reference}", f"paired difference to the {reference}, 95 % interval; bold: without 0"),
        Head("seeds", "Seeds", "finished seeds", "seeds"),
    ]
    tests = [
        Head("p_holm", "p (Holm)", "paired t-test against the reference, Holm over methods", "optional", UP),
        Head("effect", "effect size", "paired difference over its standard deviation over seeds, unbiased", "optional"),
    ]
    return Heads((*fixed, *rest, *tests), title_of(metric), metric)


def heading(name: str) -> str:
    """A column's name for people, with its unit."""
    if name in COST:
        return COST[name][0]
    return table.heading(name)


def figure(value: float, name: str, *, signed: bool = False) -> str:
    """A value as in the other documents, with a true minus; "–" if it is undefined; zero has no sign."""
    return figures([value], name, signed=signed)[0]


def figures(values: npt.ArrayLike, name: str, *, signed: bool = False) -> list[str]:
    """`figure` of each of many values, (n,)."""
    texts = table.figures(values, name, signed)
    known = np.isfinite(np.asarray(values, np.float64)).tolist()
    return [_signed(text) if sound else "–" for text, sound in zip(texts, known, strict=True)]


def interval(low: float, high: float, name: str, *, signed: bool = False) -> str:
    """`low to high`, or "" where there is none."""
    return intervals([low], [high], name, signed=signed)[0]


def intervals(lows: npt.ArrayLike, highs: npt.ArrayLike, name: str, *, signed: bool = False) -> list[str]:
    """`interval` of each of many pairs of ends, (n,)."""
    known = np.isfinite(np.asarray(lows, np.float64) + np.asarray(highs, np.float64)).tolist()
    ends = zip(known, figures(lows, name, signed=signed), figures(highs, name, signed=signed), strict=True)
    return [f"{low} to {high}" if sound else "" for sound, low, high in ends]


def summary(board: Board) -> str:
    """A board in half a line."""
    sizes = sorted({int(n) for n in board.lines["n"] if n})
    seeds = "no finished seed" if not sizes else _range(sizes, "seed")
    return f"{counted(len(board.lines), 'method')}, {seeds}"


def sentence(board: Board) -> str:
    """What the board shows, in a sentence or two."""
    name = title_of(board.metric)
    separable = board.lines[board.lines["separable"].astype(bool)]
    if separable.empty:
        return f"Fewer than three seeds of any method: {name} is shown, and nothing is ranked."
    best = separable.iloc[0]
    tied, others = int(separable["tied"].sum()) - 1, len(separable) - 1
    counts = f"{tied} of the {others} other methods cannot be told from it"
    counts = "none of the others can be told from it" if tied == others else counts
    counts = "all others are significantly below it" if tied == 0 else counts
    text = f"{best['label']} has the highest mean {name}, {_unit(best[board.metric], board.metric)}"
    text += f"; {counts}." if others else "."
    if math.isfinite(board.detectable) and board.reference:
        size = figure(board.detectable, board.metric) + (" points" if table.in_per_cent(board.metric) else "")
        text += f" With these seeds a difference to {board.reference} of {size} would be seen in four of five cases."
    return text


def _unit(value: float, name: str) -> str:
    return figure(value, name) + (" %" if table.in_per_cent(name) else "")


def _range(sizes: Sequence[int], word: str) -> str:
    return counted(sizes[0], word) if len(sizes) == 1 else f"{sizes[0]} to {counted(sizes[-1], word)}"


def _shown_first(columns: Sequence[str], metric: str) -> set[str]:
    collapse = [name for name in columns if name in METRICS and METRICS[name].family == "collapse"]
    return {metric, *SHOWN_FIRST, *collapse[:SHOWN_COLLAPSE]}


def _head(name: str, classes: str, *, optional: bool = False) -> Head:
    meaning = METRICS[name].meaning if name in METRICS else COST.get(name, ("", ""))[1]
    first = UP if name.endswith("_seconds") or name == "peak_memory_mb" else "descending"
    return Head(name, heading(name), meaning, " ".join(filter(None, (classes, "optional" * optional))), first)


def _signed(text: str) -> str:
    if text[0] in "+-" and not text.strip("+-0."):
        return text[1:]
    return text.replace("-", "\N{MINUS SIGN}")


def _line(board: Board, line: Record, cells: Mapping[str, Cell], about: Mapping[str, About], scale: Scale) -> Line:
    known = about.get(line["method"])
    state = "" if line["separable"] else "few" if line["n"] else "none"
    return Line(
        label=line["label"],
        slug=line["slug"],
        family=known.family if known else "unknown",
        remark="" if line["separable"] else f"{counted(line['n'], 'seed')}: not ranked",
        classes=" ".join(filter(None, ("tied" * bool(line["tied"]), state))),
        reference=line["label"] == board.reference,
        finished=bool(line["n"]),
        notes=_notes(line),
        cells=cells,
        whisker=_whisker(line, board.metric, scale),
    )


def _cells(board: Board, head: Head) -> list[Cell]:
    """A column, top to bottom."""
    name, lines, classes = head.name, board.lines, head.classes
    if name == "rank":
        return _ranks(board, classes)
    if name == "difference":
        return _differences(board)
    if name == "seeds":
        return [Cell(str(n), sort=str(n), classes=classes) for n in lines["n"].tolist()]
    if name not in lines:
        return [Cell("–", classes=classes)] * len(lines)
    values = lines[name].to_numpy(np.float64)
    keys = _keys(values)
    if name == "p_holm":
        texts = ["–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}" for p in values.tolist()]
        return [Cell(text, "", key, classes) for text, key in zip(texts, keys, strict=True)]
    spread = [""] * len(lines)
    if f"{name}_low" in lines:
        spread = intervals(lines[f"{name}_low"], lines[f"{name}_high"], name)
    texts = figures(values, name)
    return [Cell(text, detail, key, classes) for text, detail, key in zip(texts, spread, keys, strict=True)]


def _ranks(board: Board, classes: str) -> list[Cell]:
    ranks = board.lines[["rank", "rank_low", "rank_high"]].to_numpy(np.float64).tolist()
    texts = [f"{rank:g}" if math.isfinite(rank) else "–" for rank, _, _ in ranks]
    spans = [f"{low:g}\N{EN DASH}{high:g}" if low < high else "" for _, low, high in ranks]
    keys = _keys(board.lines["rank"])
    return [Cell(text, span, key, classes) for text, span, key in zip(texts, spans, keys, strict=True)]


def _differences(board: Board) -> list[Cell]:
    mean, low, high = (board.lines[f"difference{end}"].to_numpy(np.float64) for end in ("", "_low", "_high"))
    texts, spread = figures(mean, board.metric, signed=True), intervals(low, high, board.metric, signed=True)
    clear = np.where((low > 0) | (high < 0), "strong", "").tolist()
    cells = zip(texts, spread, _keys(mean), clear, strict=True)
    found = [Cell(text, detail, key, classes) for text, detail, key, classes in cells]
    for place in np.flatnonzero(board.lines["label"] == board.reference):
        found[place] = Cell("–", "reference", "0")
    return found


def _notes(line: Record) -> tuple[str, ...]:
    """Failed and missing seeds, cut to a length that a table bears."""
    failed = f"failed: {line['failed']}" if line["failed"] else ""
    cut = failed if len(failed) <= REASON_LENGTH else failed[: REASON_LENGTH - 1] + "…"
    missing = f"missing: {_seeds(line['missing'])}" if line["missing"] else ""
    return tuple(filter(None, (cut, missing)))


def _seeds(listed: str) -> str:
    return f"seeds {listed}" if "," in listed else f"seed {listed}"


def _keys(values: npt.ArrayLike) -> list[str]:
    numbers = np.asarray(values, np.float64)
    return [f"{value:.12g}" if math.isfinite(value) else "" for value in numbers.tolist()]


def _scale(board: Board) -> Scale:
    """Ends of the whiskers' axis: intervals of separable lines and all means, but no longer than three times those."""
    lines, name = board.lines, board.metric
    means = lines[name].dropna()
    if means.empty:
        return 0.0, 1.0
    low, high = float(means.min()), float(means.max())
    reach = max(high - low, 0.01)
    separable = lines[lines["separable"].astype(bool)]
    lows, highs = separable[f"{name}_low"].dropna(), separable[f"{name}_high"].dropna()
    start = max(min(low, *lows), low - reach) if len(lows) else low - 0.1 * reach
    end = min(max(high, *highs), high + reach) if len(highs) else high + 0.1 * reach
    return start, end


def _place(value: float, scale: Scale) -> float:
    start, end = scale
    return round(min(max(100 * (value - start) / (end - start), 0), 100), 2)


def _whisker(line: Record, name: str, scale: Scale) -> Whisker | None:
    if not math.isfinite(line[name]):
        return None
    mean, ends = _place(line[name], scale), (line[f"{name}_low"], line[f"{name}_high"])
    if not all(math.isfinite(end) for end in ends):
        return Whisker(mean, 0, mean, False)
    low, high = (_place(end, scale) for end in ends)
    return Whisker(low, round(high - low, 2), mean, ends[0] < scale[0] or ends[1] > scale[1])
