"""The site's main table: a board's lines as the texts, sorting keys and marks that a page shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """The columns, and the ranking metric in words."""

    columns: tuple[Head, ...]
    metric: str


@dataclass(frozen=True)
class Cell:
    """What stands in one place: text, a smaller one below, and the key that sorts; "" sorts last."""

    text: str
    detail: str = ""
    sort: str = ""
    kind: str = ""
    classes: str = ""


@dataclass(frozen=True)
class Whisker:
    """Mean and interval on the board's scale, per cent of the width; clipped where the interval is longer."""

    low: float
    width: float
    mean: float
    clipped: bool


@dataclass(frozen=True)
class Line:
    """A line of the table; `finished`: whether it has rows to show the provenance of."""

    label: str
    slug: str
    family: str
    remark: str
    classes: str
    reference: bool
    finished: bool
    notes: tuple[str, ...]
    cells: tuple[Cell, ...]
    whisker: Whisker | None


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
    records = board.lines.to_dict("records")
    reference = next((one[board.metric] for one in records if one["label"] == board.reference), math.nan)
    return Shown(
        slug=board.slug,
        title=board.title,
        group=board.group,
        summary=summary(board),
        sentence=sentence(board),
        reference_at=_place(reference, scale) if math.isfinite(reference) else -1.0,
        lines=tuple(_line(board, line, heads, about, scale) for line in records),
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
    return Heads((*fixed, *rest, *tests), title_of(metric))


def heading(name: str) -> str:
    """A column's name for people, with its unit."""
    if name in COST:
        return COST[name][0]
    return table.heading(name)


def figure(value: float, name: str, *, signed: bool = False) -> str:
    """A value as in the other documents, with a true minus; "–" if it is undefined; zero has no sign."""
    if not math.isfinite(value):
        return "–"
    text = table.figure(value, name, signed)
    return text.replace("-", "\N{MINUS SIGN}") if text.strip("+-0.") else text.lstrip("+-")


def interval(low: float, high: float, name: str, *, signed: bool = False) -> str:
    """`low to high`, or "" where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{figure(low, name, signed=signed)} to {figure(high, name, signed=signed)}"


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


def _line(board: Board, line: Record, heads: Heads, about: Mapping[str, About], scale: Scale) -> Line:
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
        cells=tuple(_cell(board, line, head) for head in heads.columns),
        whisker=_whisker(line, board.metric, scale),
    )


def _cell(board: Board, line: Record, head: Head) -> Cell:
    name = head.name
    if name == "rank":
        span = f"{line['rank_low']:g}\N{EN DASH}{line['rank_high']:g}" if line["rank_low"] < line["rank_high"] else ""
        known = math.isfinite(line["rank"])
        return Cell(f"{line['rank']:g}" if known else "–", span, _key(line["rank"]), classes=head.classes)
    if name == "method":
        return Cell(line["label"], sort=line["label"], kind="method")
    if name == "whisker":
        return Cell("", kind="whisker")
    if name == "difference":
        return _difference(board, line)
    if name == "seeds":
        return Cell(str(line["n"]), sort=_key(line["n"]), classes=head.classes)
    if name not in board.columns and name not in board.lines:
        return Cell("–", classes=head.classes)
    value = line[name]
    spread = interval(line.get(f"{name}_low", math.nan), line.get(f"{name}_high", math.nan), name)
    if name == "p_holm":
        text = "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
        return Cell(text, sort=_key(value), classes=head.classes)
    return Cell(figure(value, name), spread, _key(value), classes=head.classes)


def _difference(board: Board, line: Record) -> Cell:
    if line["label"] == board.reference:
        return Cell("–", "reference", "0")
    low, high = line["difference_low"], line["difference_high"]
    spread = interval(low, high, board.metric, signed=True)
    clear = "strong" if low > 0 or high < 0 else ""
    return Cell(figure(line["difference"], board.metric, signed=True), spread, _key(line["difference"]), classes=clear)


def _notes(line: Record) -> tuple[str, ...]:
    """Failed and missing seeds, cut to a length that a table bears."""
    failed = f"failed: {line['failed']}" if line["failed"] else ""
    cut = failed if len(failed) <= REASON_LENGTH else failed[: REASON_LENGTH - 1] + "…"
    missing = f"missing: {_seeds(line['missing'])}" if line["missing"] else ""
    return tuple(filter(None, (cut, missing)))


def _seeds(listed: str) -> str:
    return f"seeds {listed}" if "," in listed else f"seed {listed}"


def _key(value: float) -> str:
    return f"{value:.12g}" if math.isfinite(value) else ""


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
