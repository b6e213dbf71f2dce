"""What a run shows: two progress bars on a terminal, plain lines elsewhere, nothing if asked to be quiet."""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as RichTable

from benchmark.metrics import METRICS, Figure, is_headline
from benchmark.schema import Cell, Row

if TYPE_CHECKING:  # pandas and SciPy take seconds to import: only what shows results does
    import pandas as pd

    from benchmark.check import Finding as FileFinding
    from benchmark.conformance import Finding
    from benchmark.doctor import Verdict as TaskVerdict
    from benchmark.report import compare
    from benchmark.report.board import Leaderboard
    from benchmark.report.collapse import Comparison
    from benchmark.submission.accept import Outcome
    from benchmark.verify import Verdict

WRONG = ("different", "changed", "absent")  # verdicts that are no proof of a row
WIDE = 140  # columns of a terminal that has room for intervals in a table; collapse.md has them anyway
MOST_LINES = 10  # of what is wrong with one row
MOST_PROBLEMS = 50  # of one submission
FAMILY_TITLES = {
    "head": "Coarse head",
    "read-out": "Read-outs of fine labels from frozen features",
    "collapse": "Collapse metrics of the features",
}
LINE_SECONDS = 30.0  # a log gets no more lines about the running cell than that


def describe(cell: Cell) -> str:
    """A cell in a few words."""
    return f"{cell.task.name} {cell.method} {cell.backbone} seed {cell.seed}"


class SweepDisplay:
    """Progress of a sweep: one bar over cells, one over the images of the cell with its last epoch's figures."""

    def __init__(self, console: Console, cells: int, quiet: bool) -> None:
        self.console, self.cells, self.quiet = console, cells, quiet
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self.over_cells = self.bars.add_task("cells", total=cells, note="")
        self.over_images = self.bars.add_task("images", total=None, note="")
        self.finished = 0
        self.last_line = time.monotonic()

    def __enter__(self) -> "SweepDisplay":
        if not self.bars.disable:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.bars.disable:  # older versions of rich end even a disabled display with a blank line
            self.bars.stop()

    def cell_started(self, cell: Cell) -> "SweepDisplay":
        """Name the cell on its bar."""
        self.bars.reset(self.over_images, description=f"{cell.method} seed {cell.seed}", note="", total=None)
        self.bars.update(self.over_cells, note=cell.task.name)
        self.last_line = time.monotonic()
        return self

    def cell_finished(self, cell: Cell, seconds: float, problem: str) -> None:
        """Advance; off a terminal, one line per cell."""
        self.finished += 1
        self.bars.advance(self.over_cells)
        if problem:
            self.console.print(f"failed {describe(cell)}: {problem}", style="red", markup=False)
        elif not self.quiet and not self.console.is_terminal:
            self.console.print(f"{self.finished}/{self.cells} {describe(cell)}: {seconds:.1f} s", highlight=False)

    def begin(self, images: int) -> None:
        """Training of the cell starts."""
        self.bars.reset(self.over_images, total=images)

    def step(self, images: int) -> None:
        """A batch is done."""
        self.bars.advance(self.over_images, images)

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        """Show the epoch's loss, coarse validation accuracy and speed; off a terminal now and then a line."""
        note = (
            f"epoch {record['epoch'] + 1:.0f}/{epochs} loss {record['loss']:.3f} "
            f"coarse {record['val_acc']:.3f} {record['images_per_second']:.0f} img/s"
        )
        note += ", scoring …" if record["epoch"] + 1 == epochs else ""
        self.bars.update(self.over_images, note=note)
        if not self.quiet and not self.console.is_terminal and time.monotonic() - self.last_line > LINE_SECONDS:
            self.console.print(f"    {note}", markup=False)
            self.last_line = time.monotonic()


def show_results(console: Console, frame: "pd.DataFrame", blocks: Sequence[Sequence[str]] = ()) -> None:
    """Print every comparison among the rows, one block of columns under the other, then what failed and why.

    Args:
        console: to print on.
        frame: rows of results.csv.
        blocks: columns of each block; none: transfer, then collapse.
    """
    from benchmark.report import table

    blocks = blocks or (table.TRANSFER, table.COLLAPSE)
    for views in zip(*(table.tables(frame, columns) for columns in blocks), strict=True):
        console.print(f"\n{views[0].title}", style="bold", markup=False)
        for view in views:
            console.print(_drawn(view.lines), "")
        for failure in views[0].failures:
            console.print(f"failed: {failure}", style="red", markup=False)
    console.print(table.FOOT, style="dim")


class StepDisplay:
    """One progress bar over measurements or images, gone when they are done; nothing off a terminal."""

    def __init__(self, console: Console, what: str = "", quiet: bool = False) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bars = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
        self.task = self.bars.add_task(what, total=None, visible=False)

    def __enter__(self) -> "StepDisplay":
        if not self.bars.disable:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.bars.disable:
            self.bars.stop()

    def begin(self, images: int) -> None:
        """So many measurements or images are to come."""
        self.bars.reset(self.task, total=images, visible=True)

    def step(self, images: int) -> None:
        """So many are done."""
        self.bars.advance(self.task, images)


def plain_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> RichTable:
    """Words in columns, without lines; the first one, names to be typed, is never cut."""
    drawn = RichTable(*headings, box=None, padding=(0, 1), header_style="bold")
    rows = list(lines)
    drawn.columns[0].min_width = max((len(row[0]) for row in rows), default=0)
    for line in rows:
        drawn.add_row(*(escape(cell) for cell in line))
    return drawn


def show_findings(console: Console, name: str, findings: "Iterable[Finding]") -> int:
    """Print every check of a method as it ends, and the sum; the number of broken promises."""
    broken = held = 0
    for finding in findings:
        if finding.problem:
            mark, note, style = "✗", f": {finding.problem}", "red"
        elif finding.skipped:
            mark, note, style = "–", f": {finding.skipped}", "dim"
        else:
            mark, note, style = "✓", "", "green"
        console.print(f"{mark} {finding.title}{note}", style=style, markup=False, soft_wrap=True)
        broken += bool(finding.problem)
        held += not (finding.problem or finding.skipped)
    verdict = f"{broken} of its promises are broken" if broken else "keeps the contract"
    console.print(f"{name}: {verdict} ({held} checks hold).", style="bold", markup=False)
    return broken


def show_doctor(console: Console, machine: Iterable[tuple[str, str]], verdicts: "Iterable[TaskVerdict]") -> None:
    """Print the machine, then the tasks that are ready, those that lack images, and those that are broken."""
    for name, value in machine:
        console.print(f"{name:<10}{value}", markup=False, soft_wrap=True)
    found, ready, total = list(verdicts), 0, 0
    for state, mark, style in (("ready", "✓", "green"), ("missing", "–", "yellow"), ("broken", "✗", "red")):
        for verdict in (each for each in found if each.state == state):
            console.print(f"{mark} {', '.join(verdict.tasks)}", style=style, markup=False, soft_wrap=True)
            for line in verdict.lines:
                console.print(f"    {line}", markup=False, soft_wrap=True)
            ready, total = ready + len(verdict.tasks) * (state == "ready"), total + len(verdict.tasks)
    console.print(f"{ready} of {total} tasks can run here now.", style="bold")


def show_check(console: Console, files: int, findings: "Iterable[FileFinding]") -> int:
    """Print every finding as it comes, and the sum; the number of errors."""
    errors = notes = 0
    for finding in findings:
        note = finding.defect.note
        errors, notes = errors + (not note), notes + note
        console.print(str(finding), style="yellow" if note else "red", markup=False, soft_wrap=True)
    counted = ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in ((errors, "error"), (notes, "note")))
    console.print(f"{files} file{'s' * (files != 1)}: {counted}.", style="bold")
    return errors


def show_verdicts(console: Console, folder: Path, verdicts: "Iterable[Verdict]") -> int:
    """Print what became of the rows of a folder, in full where something is wrong; the number of such rows."""
    console.print(str(folder), style="bold", markup=False, soft_wrap=True)
    counts: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    computed = 0
    for verdict in verdicts:
        counts[verdict.state] += 1
        computed += verdict.computed
        if verdict.state in WRONG:
            key = f" ({verdict.key})" if verdict.key else ""
            console.print(f"✗ {verdict.title}{key}: {verdict.state}", style="red", markup=False)
            for line in verdict.lines[:MOST_LINES]:
                console.print(f"    {line}", markup=False, soft_wrap=True)
            if len(verdict.lines) > MOST_LINES:
                console.print(f"    … and {len(verdict.lines) - MOST_LINES} more")
        else:
            notes.update(verdict.lines)
    for note, count in notes.items():
        console.print(f"– {count} row{'s' * (count != 1)}: {note}", style="yellow", markup=False, soft_wrap=True)
    summary = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no finished rows"
    console.print(f"{summary}; {computed} figures computed again and equal.", style="bold", markup=False)
    return sum(counts[state] for state in WRONG)


def show_problems(console: Console, title: str, problems: Sequence[str]) -> None:
    """Print what is wrong with a submission, a line each."""
    console.print(f"✗ {title}: {len(problems)} problem{'s' * (len(problems) != 1)}", style="red", markup=False)
    for line in problems[:MOST_PROBLEMS]:
        console.print(f"    {line}", markup=False, soft_wrap=True)
    if len(problems) > MOST_PROBLEMS:
        console.print(f"    … and {len(problems) - MOST_PROBLEMS} more")


def show_outcomes(console: Console, outcomes: "Sequence[Outcome]", check: bool) -> int:
    """Print what became of submitted or published rows; the number of problems."""
    for outcome in outcomes:
        if outcome.problems:
            show_problems(console, str(outcome.folder), outcome.problems)
        elif outcome.num_rows:
            would = "would be " * check
            news = f"; {len(outcome.added)} {would}added, {len(outcome.replaced)} replaced" * outcome.from_archive
            console.print(f"✓ {outcome.folder}: {outcome.num_rows} rows are sound{news}.", markup=False, soft_wrap=True)
        for note in outcome.notes:
            console.print(f"– {outcome.folder.name}: {note}", style="yellow", markup=False, soft_wrap=True)
    return sum(len(outcome.problems) for outcome in outcomes)


def show_figures(console: Console, row: Row) -> None:
    """Print the scores of one row with intervals and nulls, a block for each family."""
    headline = [figure for figure in row.figures if is_headline(figure) and not math.isnan(figure.value)]
    for family in ("head", "read-out", "collapse"):
        lines = [
            (figure.metric, f"{figure.value:.4g}", _span(figure), _short(figure.untrained), _short(figure.shuffled))
            for figure in headline
            if METRICS[figure.metric].family == family
        ]
        if lines:
            console.print(f"\n{FAMILY_TITLES[family]}", style="bold")
            console.print(plain_table(("metric", "value", "95 % interval", "untrained", "shuffled"), lines))


def _span(figure: Figure) -> str:
    return "" if math.isnan(figure.low) else f"{figure.low:.4g} to {figure.high:.4g}"


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def show_collapse(console: Console, found: "Iterable[Comparison]", readouts: Sequence[str] = ()) -> None:
    """Print the correlations of every group, as they are and given coarse accuracy, and what they are."""
    from benchmark.report import collapse

    for one in found:
        console.print(f"\n{one.title}", style="bold", markup=False)
        console.print(one.size, markup=False)
        for heading, lines in collapse.views(one, readouts, intervals=console.width >= WIDE):
            console.print(f"\n{heading}", style="bold", markup=False)
            console.print(_drawn(lines))
    console.print(f"\n{collapse.FOOT}".replace("\\", ""), style="dim", markup=False)


def show_comparison(console: Console, found: "Iterable[compare.Comparison]") -> None:
    """Print two methods side by side, on every board; bold where they are told apart."""
    from benchmark.report import compare

    for one in found:
        console.print(f"\n{one.first} against {one.second} · {one.title}", style="bold", markup=False)
        console.print(" ".join(one.notes), markup=False)
        for part, heading in compare.PARTS.items():
            lines = one.part(part)
            if not len(lines):
                continue
            shown = compare.words(one, part).drop(columns="seeds")
            drawn = RichTable(heading, *shown.columns[1:], box=None, padding=(0, 1, 0, 0), header_style="bold")
            for p, cells in zip(lines["p_holm"], shown.to_numpy().tolist(), strict=True):
                drawn.add_row(*(escape(cell) for cell in cells), style="bold" if p < compare.ALPHA else "")
            console.print(drawn)
    console.print("\n" + " ".join(compare.FOOT.split()), style="dim", markup=False)


def show_leaderboard(console: Console, found: "Leaderboard") -> None:
    """Print every comparison: the ranking with intervals, and what these seeds can show."""
    from benchmark.report import publication

    for board in found.boards:
        console.print(f"\n{board.title}", style="bold", markup=False)
        shown = publication.cells(dataclasses.replace(board, columns=board.columns[:1]))
        drawn = RichTable(*shown.columns, box=None, padding=(0, 1, 0, 0), header_style="bold")
        for tied, cells in zip(board.lines["tied"], shown.to_numpy().tolist(), strict=True):
            drawn.add_row(*(escape(cell) for cell in cells), style="bold" if tied else "")
        console.print(drawn)
        for remark in (*publication.remarks(board), *publication.troubles(board)):
            console.print(remark, markup=False)
    for line in publication.outdated(found):
        console.print(f"no longer counts: {line}", style="yellow", markup=False)


def _drawn(lines: "pd.DataFrame") -> RichTable:
    drawn = RichTable(box=None, padding=(0, 1, 0, 0), header_style="bold")
    drawn.add_column(str(lines.index.name or "method"), no_wrap=True)
    for heading in lines.columns:
        drawn.add_column(str(heading), justify="right", no_wrap=heading == "seeds")
    for label, line in lines.iterrows():
        drawn.add_row(*(escape(str(cell)) for cell in (label, *line)))
    return drawn
