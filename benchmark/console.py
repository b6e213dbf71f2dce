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

from benchmark.claims import BEAT_SECONDS, Running
from benchmark.metrics import METRICS, Figure, is_headline
from benchmark.schema import Cell, Row
from benchmark.status import Status, remaining_seconds

if TYPE_CHECKING:  # pandas and SciPy take seconds to import: only what shows results does
    import pandas as pd

    from benchmark.check import Finding as FileFinding
    from benchmark.conformance import Finding
    from benchmark.doctor import Verdict as TaskVerdict
    from benchmark.plan import Forecast
    from benchmark.report import compare
    from benchmark.report.board import Leaderboard
    from benchmark.report.collapse import Comparison
    from benchmark.submission.accept import Outcome
    from benchmark.sweep import Grid
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
    """Progress of a sweep: one bar over cells, and below it one over the images of every cell that is running."""

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
        self.running: dict[str, CellDisplay] = {}
        self.finished = 0

    def __enter__(self) -> "SweepDisplay":
        if not self.bars.disable:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.bars.disable:  # older versions of rich end even a disabled display with a blank line
            self.bars.stop()

    def cell_started(self, cell: Cell) -> "CellDisplay":
        """A bar of its own, or that of its first attempt."""
        self.bars.update(self.over_cells, note=cell.task.name)
        if cell.key not in self.running:
            self.running[cell.key] = CellDisplay(self, cell)
        return self.running[cell.key]

    def cell_finished(self, cell: Cell, seconds: float, problem: str) -> None:
        """Advance; off a terminal, one line per cell."""
        if shown := self.running.pop(cell.key, None):
            self.bars.remove_task(shown.bar)
        self.finished += 1
        self.bars.advance(self.over_cells)
        if problem:
            self.console.print(f"failed {describe(cell)}: {problem}", style="red", markup=False)
        elif not self.quiet and not self.console.is_terminal:
            self.console.print(f"{self.finished}/{self.cells} {describe(cell)}: {seconds:.1f} s", highlight=False)


class CellDisplay:
    """The monitor of one cell: a bar over its images with its last epoch's figures."""

    def __init__(self, sweep: SweepDisplay, cell: Cell) -> None:
        self.sweep, self.cell = sweep, cell
        self.bar = sweep.bars.add_task(f"{cell.method} seed {cell.seed}", total=None, note="")
        self.last_line = time.monotonic()

    def begin(self, images: int) -> None:
        """Training of the cell starts."""
        self.sweep.bars.reset(self.bar, total=images)

    def step(self, images: int) -> None:
        """A batch is done."""
        self.sweep.bars.advance(self.bar, images)

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        """Show the epoch's loss, coarse validation accuracy and speed; off a terminal now and then a line."""
        note = (
            f"epoch {record['epoch'] + 1:.0f}/{epochs} loss {record['loss']:.3f} "
            f"coarse {record['val_acc']:.3f} {record['images_per_second']:.0f} img/s"
        )
        note += ", scoring …" if record["epoch"] + 1 == epochs else ""
        self.sweep.bars.update(self.bar, note=note)
        plain = not self.sweep.quiet and not self.sweep.console.is_terminal
        if plain and time.monotonic() - self.last_line > LINE_SECONDS:
            several = f"{describe(self.cell)}: " if len(self.sweep.running) > 1 else ""
            self.sweep.console.print(f"    {several}{note}", markup=False)
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


def show_status(console: Console, folder: Path, status: Status) -> None:
    """Print the counts, every running cell, and a few lines of what failed and what is missing."""
    parts = {
        "done": status.done,
        "running": len(status.running),
        "queued": len(status.queued),
        "failed": len(status.failed),
        "missing": len(status.missing),
    }
    counts = ", ".join(f"{count} {name}" for name, count in parts.items() if count or name == "done")
    console.print(f"{folder}: {status.planned} cells: {counts}.", style="bold", markup=False, soft_wrap=True)
    if status.unknown:
        console.print(f"queue unknown: {status.unknown}", style="yellow", markup=False, soft_wrap=True)
    for running in status.running:
        console.print(f"running {_running_line(running)}", markup=False, soft_wrap=True)
    kinds = Counter(record.get("kind", "exception") for record in status.failed)
    for kind, count in kinds.most_common():
        console.print(f"failed, {kind.replace('_', ' ')}: {count}", style="red", markup=False)
        for record in [record for record in status.failed if record.get("kind", "exception") == kind][:MOST_LINES]:
            where = "".join(f"; {name} {record[name]}" for name in ("host", "log") if record.get(name))
            line = f"    {_named(record['cell'])}: {record['reason']} ({record['seconds']:.0f} s{where})"
            console.print(line, markup=False, soft_wrap=True)
    for cell in status.missing[:MOST_LINES]:
        console.print(f"missing {_named(cell)}", markup=False, soft_wrap=True)
    if len(status.missing) > MOST_LINES:
        console.print(f"… and {len(status.missing) - MOST_LINES} more; the launch's command runs them.")


def _running_line(running: Running) -> str:
    done, total = (running.progress.get(name, 0.0) for name in ("images", "total"))
    far = f"{done / total:.0%}" if done < total else "scoring" if total else "preparing"
    left = remaining_seconds(running)
    ahead = f", {_clock(left)} of training left" if left else ""
    silence = f", silent for {running.silent:.0f} s" if running.silent > 2 * BEAT_SECONDS else ""
    place = f"{running.host}, process {running.pid}"
    return f"{_named(running.cell)}: {far} after {_clock(running.seconds)}{ahead}; on {place}{silence}"


def _named(cell: Mapping[str, object]) -> str:
    parameters = "" if cell["method_params"] == "{}" else f" {cell['method_params']}"
    return f"{cell['task']} {cell['method']}{parameters} {cell['backbone']} {cell['recipe']} seed {cell['seed']}"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


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


def show_forecast(console: Console, found: "Forecast") -> None:
    """Print what a grid will cost, a line for each method on a task and backbone, and the sums."""
    headings = ("method", "task", "backbone", "cells", "images/s", "each", "together")
    lines = [
        (
            line.method,
            line.task,
            line.backbone,
            str(line.cells),
            f"{line.images_per_second:.0f}",
            duration(line.seconds),
            duration(line.cells * line.seconds),
        )
        for line in found.lines
    ]
    if lines:
        console.print(plain_table(headings, lines))
    for problem in found.problems:
        console.print(f"cannot run: {problem}", style="red", markup=False, soft_wrap=True)
    failed = f", {found.failed} failed (--retry-failed runs them)" * bool(found.failed)
    console.print(f"{found.done} cells done already{failed}, {found.cells} to run.", style="bold")
    if not found.cells:
        return
    known = f"{found.score_seconds:.0f} s of scoring a cell included, as in the rows that are there"
    scoring = (
        known if not math.isnan(found.score_seconds) else "scoring comes on top: no row tells yet how long it takes"
    )
    console.print(f"time: {duration(found.seconds)} one after the other; {scoring}.")
    if not math.isnan(found.memory_mb):
        console.print(f"memory: {found.memory_mb:.0f} MiB at most while steps were timed.")
    console.print(f"disk: {found.disk_bytes / 1e6:.0f} MB, checkpoints of a cell among them.")
    console.print(f"this machine has room for {found.at_once} cell{'s' * (found.at_once != 1)} at once.")


def show_lite(console: Console, grid: "Grid", seconds: float) -> None:
    """Print the part of a grid that costs little, as options of the same command."""
    seeds = ",".join(str(seed) for seed in grid.seeds)
    chosen = f"--tasks {grid.tasks[0]} --backbones {grid.backbones[0]} --seeds {seeds}"
    console.print(
        f"lite: {duration(seconds)} with {chosen} in place of the same options.", markup=False, soft_wrap=True
    )


def duration(seconds: float) -> str:
    """As people say it: 42 s, 3.5 min, 12.0 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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
