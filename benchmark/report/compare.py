"""Two methods side by side: every read-out, collapse metric and superclass, paired by seed."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.errors import InputError, unknown
from benchmark.metrics import METRICS
from benchmark.report import statistics, table, views
from benchmark.report.board import MIN_SEEDS, Board, Floats, Leaderboard
from benchmark.report.collapse import HEADLINE, counted
from benchmark.report.publication import in_markdown, p_value

READOUTS = ("coarse_acc", *HEADLINE)
COLLAPSE = (*table.COLLAPSE, "alignment_fine", "nc1_coarse", "nc1_fine", "cdnv_fine")
ALPHA = statistics.ALPHA
# A line per column or superclass; values and differences are in the unit of the column, shares in [0, 1].
COLUMNS = (
    "part",  # "read-outs", "collapse" or "superclasses"
    "column",
    "superclass",  # "" outside that part
    "n",  # shared seeds
    "first",  # means over these
    "second",
    "difference",  # first - second
    "low",  # of its 95 % t-interval
    "high",
    "p",  # paired t-test
    "p_holm",  # corrected over the lines of its part
    "p_wilcoxon",
    "effect",  # difference over the standard deviation of differences, unbiased
    "effect_low",
    "effect_high",
)
PARTS = {"read-outs": "Read-outs", "collapse": "Collapse", "superclasses": "Superclasses"}
FOOT = """\
Differences are seed by seed, as seeds share initial weights, batches and crops. Brackets: 95 % t-interval of the
expected difference over seeds, on this test split. p: paired t-test, after Holm's correction over the lines of its
table. Effect: expected difference over the standard deviation of differences (Hedges' correction), and its exact 95 %
interval. Bold: p < 0.05. "—": not defined; tests need three shared seeds. A collapse metric is not better for being
larger or smaller; `c2f list metrics` says what each means."""


@dataclass(frozen=True)
class Comparison:
    """Two methods on one board.

    Attributes:
        title: of the board.
        slug: of the board.
        first: a label.
        second: a label.
        lines: COLUMNS.
        notes: what is not there and why, and what the tests amount to, a sentence each.
    """

    title: str
    slug: str
    first: str
    second: str
    lines: pd.DataFrame
    notes: tuple[str, ...]

    def part(self, name: str) -> pd.DataFrame:
        """The lines of a part; superclasses by their difference, the largest first."""
        own = self.lines[self.lines["part"] == name]
        own = own.sort_values("difference", ascending=False, kind="stable") if name == "superclasses" else own
        return own.reset_index(drop=True)


def comparisons(
    found: Leaderboard, first: str, second: str, columns: Sequence[str], scores: pd.DataFrame
) -> list[Comparison]:
    """A comparison for every board that has a shared seed of both methods.

    Args:
        found: of `leaderboard.build`.
        first: a method, or a label such as "am_mixup (beta=3)".
        second: likewise.
        columns: of METRICS, to compare; read-outs and collapse metrics are tested apart.
        scores: of `views.scores`, with the boards' metric; it gives the superclasses.

    Raises:
        InputError: for a method that is in no board or is several, a column that is none, or if no seed is shared.
    """
    for name in columns:
        if name not in METRICS:
            raise unknown("column", name, METRICS, "See `c2f list metrics`.")
    _check_known(found.boards, (first, second))
    made = []
    for board in found.boards:
        labels = [_label(board, name) for name in (first, second)]
        if labels[0] == labels[1] != "":
            raise InputError(f"{first!r} and {second!r} are the same method, {labels[0]}; name two")
        if all(labels) and _shared(board, labels):
            made.append(_comparison(board, labels, columns, scores))
    if not made:
        raise InputError(f"no board has a finished seed of both {first!r} and {second!r}; run the missing cells")
    return made


def _comparison(board: Board, labels: Sequence[str], columns: Sequence[str], scores: pd.DataFrame) -> Comparison:
    cells = board.cells[board.cells["label"].isin(labels)]
    shown = [name for name in columns if name in cells]
    readouts = [name for name in shown if METRICS[name].family != "collapse"]
    collapse = [name for name in shown if name not in readouts]
    own = cells[["key", "label", "seed"]].merge(scores[scores["metric"] == board.metric], on="key")
    by_superclass = {str(name): rows for name, rows in own.groupby("superclass", sort=True)}
    parts = [
        _tested("read-outs", [(name, "", _paired(cells, name, labels)) for name in readouts]),
        _tested("collapse", [(name, "", _paired(cells, name, labels)) for name in collapse]),
        _tested(
            "superclasses",
            [(board.metric, name, _paired(rows, "value", labels)) for name, rows in by_superclass.items()],
        ),
    ]
    known = [part for part in parts if len(part)]  # columns of an empty one have no type, which pandas 2 warns of
    lines = pd.concat(known or parts, ignore_index=True)
    return Comparison(board.title, board.slug, labels[0], labels[1], lines, tuple(_notes(board, labels, lines)))


def _tested(part: str, given: Sequence[tuple[str, str, Floats]]) -> pd.DataFrame:
    """Lines of a part from column, superclass and (n, 2) values of each; those without a shared seed are left out."""
    lines = []
    for column, superclass, values in given:
        whole = values[np.isfinite(values).all(axis=1)]
        if not len(whole):
            continue
        found = statistics.differences(whole, 1)
        estimates = {"n": len(whole), "first": whole[:, 0].mean(), "second": whole[:, 1].mean()}
        fields = ("low", "high", "p_wilcoxon", "effect", "effect_low", "effect_high")
        tests = {name: getattr(found, name)[0] for name in fields}
        named = {"part": part, "column": column, "superclass": superclass}
        lines.append(named | estimates | {"difference": found.mean[0], "p": found.p_t[0]} | tests)
    frame = pd.DataFrame(lines, columns=[name for name in COLUMNS if name != "p_holm"])
    return frame.assign(p_holm=statistics.holm(frame["p"].to_numpy(np.float64)))[list(COLUMNS)]


def _paired(rows: pd.DataFrame, column: str, labels: Sequence[str]) -> Floats:
    """(n, 2) a column of both methods, by seed; NaN where one is missing."""
    numbers = rows.assign(_value=pd.to_numeric(rows[column], errors="coerce"))
    wide = numbers.pivot_table(index="seed", columns="label", values="_value").reindex(columns=list(labels))
    return wide.to_numpy(np.float64)


def _notes(board: Board, labels: Sequence[str], lines: pd.DataFrame) -> Iterator[str]:
    shared = _shared(board, labels)
    yield f"{counted(shared, 'seed')} of both."
    if shared < MIN_SEEDS:
        yield f"Fewer than {MIN_SEEDS}: differences are shown without a test, and say nothing about other seeds."
    elif (lines["part"] == "superclasses").any():
        own = lines[lines["part"] == "superclasses"]
        changed = own[own["p_holm"] < ALPHA]
        better, worse = (changed[changed["difference"] * sign > 0]["superclass"] for sign in (1, -1))
        told = [f"{words}: {', '.join(names)}" for words, names in (("better", better), ("worse", worse)) if len(names)]
        yield f"Superclasses that changed: {'; '.join(told) or f'none of {len(own)} can be told from no change'}."
    if not (lines["part"] == "superclasses").any():
        yield "Nothing by superclass was stored."
    for label in labels:
        line = board.lines[board.lines["label"] == label].iloc[0]
        yield from (f"{label}: failed {line[name]}." for name in ("failed",) if line[name])


def _shared(board: Board, labels: Sequence[str]) -> int:
    seeds = [set(board.cells.loc[board.cells["label"] == label, "seed"]) for label in labels]
    return len(seeds[0] & seeds[1])


def _label(board: Board, name: str) -> str:
    """The label that a name means on a board, or "" where it means none."""
    lines = board.lines
    plain = [label for label in lines["label"] if _spelled(label) == _spelled(name)]
    found = plain or list(lines.loc[lines["method"] == name, "label"])
    if len(found) > 1:
        raise InputError(f"{name!r} is several methods of {board.title}: {'; '.join(found)}; name one of these")
    return found[0] if found else ""


def _check_known(boards: Sequence[Board], names: Sequence[str]) -> None:
    known = {text for board in boards for column in ("label", "method") for text in board.lines[column]}
    for name in names:
        if not any(_label(board, name) for board in boards):
            raise unknown("method", name, known, "Name one of the rows.")


def _spelled(label: str) -> str:
    """A label with its numbers in one spelling: beta=3 and beta=3.0 are the same."""
    return re.sub(r"\d+(\.\d+)?", lambda number: f"{float(number[0]):g}", label).replace(" ", "")


def words(one: Comparison, part: str) -> pd.DataFrame:
    """A part as text, a line each: name, means, difference with interval, p, effect with interval, seeds."""
    made = [_words(line, part) for line in one.part(part).to_dict("records")]
    headings = {"first": one.first, "second": one.second}
    return pd.DataFrame(made).rename(columns=headings)


def _words(line: Mapping[Hashable, Any], part: str) -> dict[str, str]:
    column, number = str(line["column"]), {name: float(line[name]) for name in COLUMNS[4:]}
    like = max(abs(number["first"]), abs(number["second"]))
    difference = table.figure(number["difference"], column, signed=True, like=like)
    ends = [table.figure(number[name], column, signed=True, like=like) for name in ("low", "high")]
    interval = f" [{ends[0]}, {ends[1]}]" if np.isfinite(number["low"]) else ""
    known = np.isfinite(number["effect"])
    effect = f"{number['effect']:+.1f} [{number['effect_low']:+.1f}, {number['effect_high']:+.1f}]" if known else "—"
    return {
        "": str(line["superclass"]) if part == "superclasses" else views.axis_title(column),
        "first": table.figure(number["first"], column, like=like),
        "second": table.figure(number["second"], column, like=like),
        "difference": difference + interval,
        "p": p_value(number["p_holm"]),
        "effect": effect,
        "seeds": str(line["n"]),
    }


def markdown(found: Sequence[Comparison]) -> str:
    """All comparisons: tables of each part, what changed, and what the figures are."""
    blocks = [f"# {in_markdown(found[0].first)} against {in_markdown(found[0].second)}"]
    for one in found:
        blocks.append(f"## {in_markdown(one.title)}\n\n{in_markdown(' '.join(one.notes))}")
        for part, heading in PARTS.items():
            lines = one.part(part)
            if len(lines):
                shown = words(one, part).rename(columns=in_markdown)
                shown[""] = shown[""].map(in_markdown)
                holds = (lines["p_holm"] < ALPHA).to_numpy()
                shown["difference"] = np.where(holds, "**" + shown["difference"] + "**", shown["difference"])
                blocks.append(f"**{heading}**\n\n{shown.to_markdown(index=False, disable_numparse=True)}")
    return "\n\n".join([*blocks, FOOT]) + "\n"


def write(found: Sequence[Comparison], folder: Path) -> list[Path]:
    """`compare.csv`, every line of every board, and `compare.md`, the tables; the files.

    Raises:
        InputError: if the folder cannot be written.
    """
    long = pd.concat(
        [one.lines.assign(board=one.title, first_method=one.first, second_method=one.second) for one in found]
    )
    files = [folder / "compare.csv", folder / "compare.md"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        long[["board", "first_method", "second_method", *COLUMNS]].to_csv(files[0], index=False)
        files[1].write_text(markdown(found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot write there ({error.strerror}); name another folder with --out") from None
    return files
