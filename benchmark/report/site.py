"""The static site of a leaderboard: one page for all boards, one for each, one for each method; no server, no network.

Names, reasons and provenance come from rows that anyone may submit: they are escaped wherever they are written.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import vl_convert
from markupsafe import Markup

from benchmark.errors import InputError
from benchmark.report import charts, publication, site_table, views
from benchmark.report.board import LINE_COLUMNS, About, Board, Leaderboard, Overall
from benchmark.report.collapse import counted, title_of
from benchmark.report.site_table import Record
from benchmark.schema import CELL_COLUMNS, COST_COLUMNS, PROVENANCE_COLUMNS, SELECTION_COLUMNS

MARK = '<meta name="generator" content="c2f-benchmark'  # of the pages that may be removed again
EXPORTS = "window.vegaEmbed = vegaEmbed; window.vega = vega;"  # of the chart library
ASSETS = ("site.css", "site.js", "theme.js")
DOWNLOADS = (("CSV", "leaderboard.csv"), ("Markdown", "leaderboard.md"), ("LaTeX", "leaderboard.tex"))
PROVENANCE = (*CELL_COLUMNS, *SELECTION_COLUMNS, *COST_COLUMNS, *PROVENANCE_COLUMNS, "folder")
NOTES = (
    ("Every figure", "of the test split, read once after all choices; accuracies in per cent."),
    ("Seconds", "are comparable where the machine is the same; each row's provenance says which it was."),
)
IDENTITY = ("key", "seed", "missing_classes")  # looked at row by row
STANDING = (*LINE_COLUMNS[: LINE_COLUMNS.index("difference_n")], "failed", "missing")
BULLET = re.compile(r"^- \*\*(.+?)\*\*: (.+?)(?=^- |\Z)", re.MULTILINE | re.DOTALL)  # of `publication.foot`


Classes = Mapping[str, Sequence[tuple[str, str]]]


@dataclass(frozen=True)
class _Rows:
    """Finished rows of a board as plain lists: hundreds of pages look into them.

    Attributes:
        columns: every one of PROVENANCE, JSON: a list, or the one value that all rows share; IDENTITY are lists.
        head: of a table of the figures.
        figures: lines of that table.
        means: of each method, in the order of lines.
        intervals: of these.
        at: where the rows of a label are, by seed.
    """

    columns: Mapping[str, Any]
    head: Markup
    figures: Sequence[Markup]
    means: Sequence[Markup]
    intervals: Sequence[Markup]
    at: Mapping[str, list[int]]


@dataclass(frozen=True)
class _Site:
    """What every page is made from.

    Attributes:
        leaderboard: all of it.
        about: methods by name.
        features: files of kept features by the key of their row.
        classes: superclass and name of every fine class, in the order of their numbers, by task.
        long: what long tables say, by the slug of the board.
        rows: finished ones, by the slug of the board.
        shown: a board as its page shows it, and its lines, by the slug of the board.
        lines: of a board by the slug of the method, by the slug of the board; their numbers are STANDING and `place`.
    """

    leaderboard: Leaderboard
    about: Mapping[str, About]
    features: Mapping[str, Path]
    classes: Classes
    long: Mapping[str, charts.Details]
    rows: Mapping[str, _Rows]
    lines: Mapping[str, Mapping[str, Record]]
    shown: Mapping[str, tuple[site_table.Shown, Markup]]


def write(
    leaderboard: Leaderboard,
    folder: Path,
    about: Mapping[str, About],
    features: Mapping[str, Path] | None = None,
    classes: Classes | None = None,
) -> Path:
    """Write the site; pages of an earlier one that this one has no more are removed.

    Args:
        leaderboard: what to publish, at least one board.
        folder: where index.html comes to lie; made if it is missing. Links to leaderboard.csv, .md and .tex are on the
            page if those lie there.
        about: methods by name.
        features: files of kept features by the key of their row.
        classes: superclass and name of every fine class, in the order of their numbers, by task; features of other
            tasks are coloured by numbers of fine classes.

    Returns:
        index.html.

    Raises:
        InputError: if the folder cannot be written, or a file of the results cannot be read.
    """
    lines = {board.slug: _lines_by_slug(board) for board in leaderboard.boards}
    rows = {board.slug: _rows(board) for board in leaderboard.boards}
    shown = {board.slug: _lines(board, about) for board in leaderboard.boards}
    site = _Site(leaderboard, about, features or {}, classes or {}, _long(leaderboard), rows, lines, shown)
    written = set()
    try:
        for name, text in _files(site, folder):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
            written.add(name)
        _remove_stale(folder, written)
    except OSError as error:
        raise InputError(f"{folder}: cannot write there ({error.strerror}); name another folder with --out") from None
    return folder / "index.html"


def _files(site: _Site, folder: Path) -> Iterator[tuple[str, str]]:
    """Names and texts, one after the other: of many boards all together would fill the memory."""
    yield "index.html", _index(site, folder)
    yield from ((f"task/{board.slug}.html", _task(site, board)) for board in site.leaderboard.boards)
    yield from ((f"method/{slug}.html", _method(site, slug)) for slug in _slugs(site.leaderboard))
    yield from _assets(site)


def _provenance(rows: _Rows) -> dict[str, Any]:
    """Whose rows (`labels`), and what is known of each (`columns`): a list, or the one value that all rows share."""
    labels = {place: label for label, places in rows.at.items() for place in places}
    return {"labels": [labels[place] for place in range(len(labels))], "columns": rows.columns}


def _index(site: _Site, folder: Path) -> str:
    board, boards = site.leaderboard, site.leaderboard.boards
    heads = site_table.heads_of(boards)
    single = f": {boards[0].title}" if len(boards) == 1 else ""
    return _page(
        site,
        "index.html",
        "",
        title=f"Coarse-to-fine transfer: leaderboard{single}",
        heading="What augmentation keeps of the fine structure",
        facts=_facts(board),
        downloads=[(name, file) for name, file in DOWNLOADS if (folder / file).is_file()],
        heads=heads,
        boards=[_shown(site, one, "") for one in boards],
        overall=_overall(board.overall, boards) if board.overall else None,
        charts=charts.of_leaderboard(board, _families(site)),
        outdated=_outdated(board.outdated),
        **_filters(site, boards),
    )


def _task(site: _Site, board: Board) -> str:
    heads = site_table.heads_of([board])
    counts = [("Methods", len(board.lines)), ("Finished cells", len(board.cells)), ("Ranked by", heads.metric)]
    return _page(
        site,
        "task.html",
        "../",
        title=f"{board.title}: coarse-to-fine transfer",
        heads=heads,
        board=_shown(site, board, "../"),
        facts=[*counts, ("Reference", board.reference or "none: it has no finished row here")],
        charts=charts.of_board(board, site.long[board.slug], _families(site)),
        definition=list(board.group.items()),
        notes=_notes(board),
        **_filters(site, [board]),
    )


def _shown(site: _Site, board: Board, root: str) -> dict[str, Any]:
    """A board of the main table; its lines were made for the pages of tasks, and `href="` in them is ours alone."""
    shown, body = site.shown[board.slug]
    return {**vars(shown), "body": body if root == "../" else Markup(str(body).replace('href="../', f'href="{root}'))}


def _method(site: _Site, slug: str) -> str:
    boards = [board for board in site.leaderboard.boards if slug in site.lines[board.slug]]
    line = site.lines[boards[0].slug][slug]
    about = site.about.get(line["method"])
    known = f"{about.title}{f' ({about.year})' if about.year else ''}: {about.family}." if about else ""
    return _page(
        site,
        "method.html",
        "../",
        title=f"{line['label']}: coarse-to-fine transfer",
        label=line["label"],
        lede=known or "A method that is not registered here; what follows is what its rows say.",
        paper=about.paper if about else "",
        parts_of=[_part(site, board, slug) for board in boards],
    )


def _part(site: _Site, board: Board, slug: str) -> dict[str, Any]:
    """What the page of a method says about one board."""
    line = site.lines[board.slug][slug]
    rows = site.rows[board.slug]
    own = rows.at.get(line["label"], [])
    return {
        "board": board,
        "facts": _standing(board, line),
        "notes": [
            f"{word}: {line[key]}" for word, key in (("Failed", "failed"), ("Missing seeds", "missing")) if line[key]
        ],
        "head": rows.head,
        "seeds": Markup("\n").join(rows.figures[place] for place in own),
        "means": rows.means[line["place"]] if len(own) > 1 else "",
        "intervals": rows.intervals[line["place"]],
        "charts": _feature_charts(site, board, line["label"])
        + charts.of_method(board, line["label"], site.long[board.slug]),
    }


def _standing(board: Board, line: Record) -> list[tuple[str, str]]:
    """Where a method stands on a board."""
    ranked = int(board.lines["separable"].sum())
    low, high = line["rank_low"], line["rank_high"]
    span = f" (at 95 %: {low:g} to {high:g})" if low < high else ""
    facts = [("Rank", f"{line['rank']:g} of {ranked}{span}" if line["separable"] else "not ranked: too few seeds")]
    if line["n"]:
        facts.append((site_table.heading(board.metric), site_table.figure(line[board.metric], board.metric)))
    if math.isfinite(line["difference"]):
        ends = (line["difference_low"], line["difference_high"])
        shown = site_table.interval(*ends, board.metric, signed=True)
        size = site_table.figure(line["difference"], board.metric, signed=True)
        facts.append((f"Difference to {board.reference}", size + (f" ({shown})" if shown else "")))
    if line["separable"]:
        facts.append(("Told from the best", "no" if line["tied"] else "yes, significantly below it"))
    return [*facts, ("Seeds", line["seeds"] or "none finished")]


def _feature_charts(site: _Site, board: Board, label: str) -> list[charts.Chart]:
    """Of the first seed whose features were kept."""
    rows = site.rows[board.slug]
    kept = [place for place in rows.at.get(label, []) if rows.columns["key"][place] in site.features]
    if not kept:
        return []
    key, seed = (rows.columns[name][kept[0]] for name in ("key", "seed"))
    title = f"{label}, seed {seed}"
    whole = rows.columns["missing_classes"][kept[0]] in ("", "[]")  # else the classes left have other numbers
    classes = site.classes.get(board.group["task"], ()) if whole else ()
    picture = views.features(site.features[key], title, classes)
    return charts.of_features(picture, f"{board.slug}-features")


def _overall(overall: Overall, boards: Sequence[Board]) -> dict[str, Any]:
    """Ranks over boards as a page shows them."""
    slugs = [board.slug for board in boards if board.slug in overall.ranks]
    lines = [
        {
            "label": row["label"],
            "slug": row["slug"],
            "mean": f"{row['mean_rank']:.2f}",
            "interval": f"{row['low']:.2f} to {row['high']:.2f}",
            "ranks": [f"{row[slug]:g}" for slug in slugs],
        }
        for row in overall.ranks.to_dict("records")
    ]
    test = (
        f" Friedman's test that all rank alike: χ² = {overall.statistic:.2f}, p = {overall.p:.2g}."
        if math.isfinite(overall.p)
        else " Too few methods or boards for Friedman's test."
    )
    titles = [(board.title, board.slug) for board in boards if board.slug in slugs]
    nobody = "" if lines else "No method is ranked on every board. "
    over = f"{nobody}Mean rank over {counted(len(slugs), 'board')}, 1 is best; intervals over seeds, boards fixed."
    return {
        "summary": over + test,
        "boards": titles,
        "lines": lines,
        "left_out": sorted(overall.left_out.items()),
    }


def _outdated(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Rows that no longer count, a line for each method and reason."""
    names = ["label", "task", "backbone", "why"]
    grouped = rows.groupby(names, sort=True, dropna=False)["seed"] if len(rows) else ()
    return [
        {**dict(zip(names, map(str, key), strict=True)), "seeds": ", ".join(str(seed) for seed in sorted(set(seeds)))}
        for key, seeds in grouped
    ]


def _facts(leaderboard: Leaderboard) -> list[tuple[str, object]]:
    boards = leaderboard.boards
    cells = sum(len(board.cells) for board in boards)
    failed = sum(board.lines["failed"].astype(bool).sum() for board in boards)
    facts = [("Boards", len(boards)), ("Methods", len(_slugs(leaderboard))), ("Finished cells", f"{cells:,}")]
    facts += [("Methods with failures", failed)] if failed else []
    facts += [("Outdated rows", len(leaderboard.outdated))] if len(leaderboard.outdated) else []
    ranked = ", ".join(dict.fromkeys(title_of(board.metric) for board in boards))
    return [*facts, ("Ranked by", ranked), ("Provenance digest", leaderboard.digest)]


def _filters(site: _Site, boards: Sequence[Board]) -> dict[str, Any]:
    """What can be chosen from, in the order of first occurrence."""
    choices = {
        name: list(dict.fromkeys(board.group[name] for board in boards)) for name in ("task", "backbone", "recipe")
    }
    methods = {method for board in boards for method in board.lines["method"]}
    families = {site.about[method].family if method in site.about else "unknown" for method in methods}
    total = counted(sum(len(board.lines) for board in boards), "line")
    return {"choices": {**choices, "family": sorted(families)}, "total": total}


def _notes(board: Board) -> list[tuple[str, str]]:
    """What `publication.foot` says of every figure, in the words of this page, and what is only here."""
    said = [(name, " ".join(text.replace("**", "").split())) for name, text in BULLET.findall(publication.foot(board))]
    return [("Green mark" if name == "Bold" else name, text) for name, text in said if name != "±"] + list(NOTES)


def _families(site: _Site) -> dict[str, str]:
    return {method: about.family for method, about in site.about.items()}


def _page(site: _Site, template: str, root: str, **content: Any) -> str:
    board = site.leaderboard
    shared = {
        "root": root,
        "made_by": board.made_by,
        "folders": board.folders,
        "digest": board.digest,
        "notes": _notes(board.boards[0]),
        "hint": charts.HINT,
    }
    return _environment().get_template(template).render(shared | content)


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("benchmark.report", "templates")
    found = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["breakable"] = _breakable
    return found


def _breakable(label: str) -> Markup:
    """A name that may break behind an underscore, which a narrow column needs."""
    return Markup("_<wbr>").join(label.split("_"))


def _assets(site: _Site) -> Iterator[tuple[str, str]]:
    """Style, scripts, the chart library, and each board's provenance, which a page fetches when it is asked for."""
    shipped = resources.files("benchmark.report") / "assets"
    yield from ((f"assets/{name}", (shipped / name).read_text(encoding="utf-8")) for name in ASSETS)
    yield "assets/vega.js", _chart_library()
    for slug, rows in site.rows.items():
        yield f"assets/data/{slug}.js", f"c2f.receive({json.dumps(slug)}, {json.dumps(_provenance(rows))});\n"


@cache
def _chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script."""
    return vl_convert.javascript_bundle(EXPORTS)


def _remove_stale(folder: Path, written: set[str]) -> None:
    """Pages and data of an earlier site; nothing that is not the site's own."""
    for path in (path for kind in ("task", "method") for path in (folder / kind).glob("*.html")):
        if path.relative_to(folder).as_posix() not in written and MARK in path.read_text(encoding="utf-8")[:1000]:
            path.unlink()
    for path in (folder / "assets" / "data").glob("*.js"):
        if path.relative_to(folder).as_posix() not in written and path.read_text(encoding="utf-8").startswith("c2f."):
            path.unlink()


def _long(leaderboard: Leaderboard) -> dict[str, charts.Details]:
    """Every folder's long tables, read once; a folder without one has no such charts."""
    metrics = {"margin_mean", *(board.metric for board in leaderboard.boards)}
    folders = [Path(folder) for folder in leaderboard.folders]
    scores = views.scores([folder for folder in folders if (folder / "scores.csv").is_file()], metrics)
    history = views.history([folder for folder in folders if (folder / "history.csv").is_file()])
    return {board.slug: charts.details(board, scores, history) for board in leaderboard.boards}


def _lines(board: Board, about: Mapping[str, About]) -> tuple[site_table.Shown, Markup]:
    heads = site_table.heads_of([board])
    shown = site_table.shown(board, heads, about)
    lines = getattr(_environment().get_template("parts.html").module, "lines")  # noqa: B009, mypy cannot know macros
    return replace(shown, lines=()), lines(shown, heads, "../")


def _rows(board: Board) -> _Rows:
    cells = board.cells.sort_values(["label", "seed"], kind="stable")
    columns = {name: _shared(cells[name], name in IDENTITY) for name in PROVENANCE if name in cells}
    heads = [head for head in site_table.heads_of([board]).columns if head.name in board.columns]
    names, lines = [head.name for head in heads], board.lines
    own = [site_table.figures(pd.to_numeric(cells[name], errors="coerce"), name) for name in names]
    means = [site_table.figures(lines[name], name) for name in names]
    spread = [site_table.intervals(lines[f"{name}_low"], lines[f"{name}_high"], name) for name in names]
    at: dict[str, list[int]] = {}
    for place, label in enumerate(cells["label"]):
        at.setdefault(str(label), []).append(place)
    figures = [Markup(f"<tr>{line}</tr>") for line in _numbers(map(str, columns["seed"]), own)]
    mean, ends = (_numbers([name] * len(lines), found) for name, found in (("mean", means), ("95 % interval", spread)))
    return _Rows(columns, _head(heads), figures, mean, ends, at)


def _head(heads: Sequence[site_table.Head]) -> Markup:
    """Of a table with a line for each seed."""
    cell = Markup('<th scope="col" class="number" title="{}">{}</th>')
    numbers = Markup().join(cell.format(head.meaning, head.title) for head in heads)
    return Markup('<tr><th scope="col">Seed</th>{}</tr>').format(numbers)


def _numbers(names: Iterable[str], columns: Sequence[Sequence[str]]) -> list[Markup]:
    """Columns of texts made of digits and words of ours -> lines of elements, each with its name before it."""
    start, middle, end = '</th><td class="number">', '</td><td class="number">', "</td>"
    return [
        Markup(f'<th scope="row">{name}{start}{middle.join(text or "–" for text in line)}{end}')
        for name, line in zip(names, zip(*columns, strict=True), strict=True)
    ]


def _lines_by_slug(board: Board) -> dict[str, Record]:
    lines = board.lines[[*STANDING, board.metric]].assign(place=range(len(board.lines)))
    return {line["slug"]: line for line in lines.to_dict("records")}


def _slugs(leaderboard: Leaderboard) -> list[str]:
    return list(dict.fromkeys(slug for board in leaderboard.boards for slug in board.lines["slug"]))


def _shared(values: pd.Series, listed: bool) -> Any:
    """A value for each row, or the one of all; text, whole and other numbers as JSON has them, "" where there is none.

    Args:
        values: of the rows.
        listed: whether also equal ones are a list.
    """
    first = values.iloc[:1]
    if not listed and bool((values == first.iloc[0]).all() or values.isna().all()):
        return _plain(first)[0]
    return _plain(values)


def _plain(values: pd.Series) -> list[Any]:
    found = values.to_numpy(object, copy=True)
    found[values.isna().to_numpy()] = ""
    plain: list[Any] = found.tolist()
    return plain
