"""Pages of the reference that are written from the code: lists, metrics, columns of the CSVs, the command line."""

import subprocess
import sys
from pathlib import Path

from benchmark import catalogue
from benchmark.metrics import FIGURE_COLUMNS, METRICS
from benchmark.schema import (
    CELL_COLUMNS,
    COST_COLUMNS,
    HISTORY_COLUMNS,
    PROVENANCE_COLUMNS,
    RESULT_COLUMNS,
    SELECTION_COLUMNS,
)
from benchmark.store import SHORT_COLUMNS

LISTS = {
    "tasks": ("Tasks", "`c2f list tasks`; `c2f show task NAME` has provenance, licence and digest."),
    "methods": ("Methods", "`c2f list methods`; formulas and departures are in [Methods](../methods.md)."),
    "parameters": ("Parameters of methods", "Set one with `--set method.NAME.PARAMETER=VALUE`."),
    "backbones": ("Backbones", "Any timm name works; these have stems for small images."),
    "recipes": ("Recipes", "`c2f show recipe NAME` has every value; `--set recipe.NAME=VALUE` changes one."),
    "suites": ("Suites", "`c2f run --suite NAME` runs one."),
}
GROUPS = (
    ("what the cell is; its hash is `key`", CELL_COLUMNS),
    ("what was chosen on validation", SELECTION_COLUMNS),
    ("scores on test; defined in [Metrics](../metrics.md)", tuple(METRICS)),
    ("costs", COST_COLUMNS),
    ("where and with what it was made", PROVENANCE_COLUMNS),
)


def write(folder: Path) -> None:
    """Write every generated page.

    Args:
        folder: of the pages; made if it is missing.
    """
    folder.mkdir(exist_ok=True)
    for kind, (title, words) in LISTS.items():
        (folder / f"{kind}.md").write_text(f"# {title}\n\n{words}\n\n{catalogue.markdown(catalogue.listing(kind))}")
    (folder / "metrics.md").write_text(_metrics())
    (folder / "columns.md").write_text(_columns())
    (folder / "cli.md").write_text(_command_line())


def _metrics() -> str:
    lines = [
        f"| `{name}` | {metric.family} | {metric.title} | {metric.low:g} to {metric.high:g} | {metric.meaning} |"
        for name, metric in METRICS.items()
    ]
    head = "| metric | family | title | range | meaning |\n|---|---|---|---|---|"
    words = "Every score by name. Formulas, sources and undefined cases: [Metrics](../metrics.md)."
    return f"# All metrics\n\n{words}\n\n{head}\n" + "\n".join(lines) + "\n"


def _columns() -> str:
    shown = {name for _, names in GROUPS for name in names}
    groups = [*GROUPS, ("the rest: excess of scores over their null references, and state", RESULT_COLUMNS)]
    parts = []
    for i, (words, names) in enumerate(groups):
        own = [name for name in names if i < len(GROUPS) or name not in shown]
        parts.append(f"**{words[0].upper()}{words[1:]}**: {', '.join(f'`{name}`' for name in own)}")
    tables = {"results.csv": "\n\n".join(parts)}
    tables["scores.csv"] = _names([*SHORT_COLUMNS, *FIGURE_COLUMNS])
    tables["history.csv"] = _names([*SHORT_COLUMNS, *HISTORY_COLUMNS]) + ", then what methods and `--track` add"
    body = "\n\n".join(f"## {file}\n\n{text}" for file, text in tables.items())
    return f"# Columns of the tables\n\nWritten from the types in `benchmark/schema.py`.\n\n{body}\n"


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _command_line() -> str:
    """What typer writes of the program, one level lower than a page's title."""
    command = [sys.executable, "-m", "typer", "benchmark.cli", "utils", "docs", "--name", "c2f"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "# Command line\n\n" + text.replace("\n# `", "\n## `").removeprefix("# `c2f`\n")
