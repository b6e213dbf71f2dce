"""Pictures for papers: what `views` shows, drawn by matplotlib, as PNG, SVG or PDF of the width of a column or page."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.errors import InputError
from benchmark.report.collapse import title_of
from benchmark.report.compare import ALPHA, PARTS, Comparison
from benchmark.report.drawing import COLOURS, MARKERS, NAME_SIZE, STYLE, looks, name_marks, save
from benchmark.report.table import natural
from benchmark.report.views import VIEWS, Picture, axis_title

WIDTHS = MappingProxyType({"column": 85.0, "page": 175.0})  # mm
MIN_WIDTH, MAX_WIDTH = 60.0, 500.0  # mm
INCH = 25.4  # mm
SIDE_BY_SIDE = 5.0  # inch, from which panels stand side by side
ROW = 0.165  # inch, of a method's line
LONGEST = 44  # characters of a name that are drawn
NAMED = 40  # methods that are named in a picture of marks; of more, the best, the worst and the reference alone
ROOMY = 12  # methods whose intervals are drawn beside their marks
TOGETHER = 7  # methods whose curves are told apart in one panel; more have a panel each
TOLD_APART = 7  # classes told apart by colour
DENSE = 0.19  # inch, a column of figures that is narrower holds none
NAMED_CLASSES = 30  # of more classes none is named among its points
LINES = 40  # of a part of a comparison; of more superclasses, those that differ most
TIED, APART, FEW = "#0072B2", "#0072B2", "#9A9A9A"
GUIDE = "#8A8A8A"
MARGIN_OF_SHARES = (-1.0, 101.0)  # per cent; an interval may reach out of what is possible, the axis need not


def inches(width: str) -> float:
    """What `--width` says: a name of WIDTHS or millimetres.

    Raises:
        InputError: if it is neither.
    """
    try:
        found = WIDTHS[width] if width in WIDTHS else float(width)
    except ValueError:
        found = np.nan
    if not MIN_WIDTH <= found <= MAX_WIDTH:
        raise InputError(
            f"--width {width!r}: expected {' or '.join(WIDTHS)}, or {MIN_WIDTH:g} to {MAX_WIDTH:g} millimetres"
        )
    return found / INCH


def write(picture: Picture, path: Path, width: float) -> Path:
    """Draw a picture into a file of the format its ending says; the path.

    Args:
        picture: of `views`, with at least one row.
        path: ends with .png, .svg or .pdf.
        width: inches.

    Raises:
        InputError: if there is nothing to draw, or the file cannot be written.
    """
    if picture.frame.empty:
        why = " ".join(picture.notes) or "nothing of it was measured."
        raise InputError(
            f"{picture.kind} of {picture.title}: nothing to draw. {why} Name other results, or another kind"
        )
    with mpl.rc_context(STYLE):
        figure = draw(picture, width)
        return save(figure, path, f"{VIEWS[picture.kind].title} · {picture.title}", picture.caption)


def write_all(pictures: Mapping[str, Picture], out: Path, width: float) -> Iterator[tuple[Path, Picture]]:
    """Draw one picture into a file, several into files with their names added to its name; those without rows not.

    Args:
        pictures: by name.
        out: the file.
        width: inches.

    Raises:
        InputError: as `write`; for pictures without rows if all are.
    """
    shown = {name: picture for name, picture in pictures.items() if len(picture.frame)} or dict(pictures)
    for name, picture in shown.items():
        path = out if len(shown) == 1 else out.with_name(f"{out.stem}-{name}{out.suffix}")
        yield write(picture, path, width), picture


def write_comparison(one: Comparison, folder: Path, width: float) -> list[Path]:
    """The figure of a pair of methods, as PNG and SVG; the files.

    Raises:
        InputError: if they cannot be written.
    """
    with mpl.rc_context(STYLE):
        figure = comparison(one, width)
        words = f"{one.first} against {one.second} · {one.title}", " ".join(one.notes)
        return [save(figure, folder / f"compare-{one.slug}.{kind}", *words) for kind in ("png", "svg")]


def draw(picture: Picture, width: float) -> Figure:
    """A picture, so many inches wide, under STYLE; its height follows from what it shows."""
    return DRAWN[picture.kind](picture, width)


def _accuracy(picture: Picture, width: float) -> Figure:
    """A line per method, best on top: mean, interval and seeds."""
    frame = picture.frame
    figure, axes = _rows(picture, width, 0.3)
    at = np.arange(len(frame))
    seeds = picture.details.assign(at=picture.details["label"].map(dict(zip(frame["label"], at, strict=True))))
    if np.isfinite(picture.guide):
        axes.axvline(picture.guide, color=GUIDE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.scatter(seeds["value"], seeds["at"], s=6, color="black", alpha=0.35, linewidths=0, zorder=2)
    kinds = (
        (frame["separable"] & frame["tied"], TIED, TIED, "cannot be told from the best"),
        (frame["separable"] & ~frame["tied"], APART, "white", "worse than the best"),
        (~frame["separable"], FEW, "white", "too few seeds to compare"),
    )
    entries: list[Line2D] = []
    for which, colour, fill, words in kinds:
        own = frame[which]
        axes.hlines(at[which], own["low"], own["high"], color=colour, linewidth=1.1, zorder=1)
        axes.scatter(own["mean"], at[which], s=24, color=fill, edgecolors=colour, linewidths=1, zorder=3)
        if len(own):
            entries.append(_entry("o", colour, words, fill))
    entries.append(
        Line2D([], [], marker="o", color="none", markerfacecolor="black", markersize=2.6, alpha=0.5, label="seed")
    )
    if np.isfinite(picture.guide):
        entries.append(Line2D([], [], color=GUIDE, linewidth=0.8, linestyle=(0, (4, 3)), label="reference"))
    _legend(figure, entries, width)
    _keep_possible(axes.get_xlim, axes.set_xlim, picture.x.title)
    return figure


def _pairs(picture: Picture, width: float) -> Figure:
    """A mark per method with both intervals and its name; small marks are seeds."""
    frame = picture.frame
    figure = Figure(figsize=(width, width * (0.95 if width < SIDE_BY_SIDE else 0.72)), layout="constrained")
    axes = figure.subplots()
    styles = _looks(picture)
    if np.isfinite(picture.guide):
        axes.axvline(picture.guide, color=GUIDE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    for line in frame.to_dict("records"):
        marker, colour = styles[line["label"]]
        own = picture.details[picture.details["label"] == line["label"]]
        if len(frame) <= ROOMY:
            axes.hlines(line["y"], line["x_low"], line["x_high"], color=colour, linewidth=0.7, alpha=0.4, zorder=1)
            axes.vlines(line["x"], line["y_low"], line["y_high"], color=colour, linewidth=0.7, alpha=0.4, zorder=1)
        axes.scatter(own["x"], own["y"], s=6, marker=marker, color=colour, alpha=0.4, linewidths=0, zorder=2)
        axes.scatter(
            line["x"], line["y"], s=30, marker=marker, color=colour, edgecolors="white", linewidths=0.6, zorder=3
        )
    _scales(axes, picture)
    _frame_marks(axes, picture)
    named = frame if len(frame) <= NAMED else frame[_worth_naming(picture)]
    _title(figure, picture.title, width)
    marks, others = named[["x", "y"]].to_numpy(np.float64), picture.details[["x", "y"]].to_numpy(np.float64)
    colours = [styles[label][1] for label in named["label"]]
    name_marks(figure, axes, [_short(label) for label in named["label"]], marks, others, colours)
    return figure


def _curves(picture: Picture, width: float) -> Figure:
    """A panel per quantity, or where there are many methods a panel per method with the first of the quantities."""
    labels = [label for label in picture.labels if label in set(picture.frame["label"])]
    return _together(picture, labels, width) if len(labels) <= TOGETHER else _apart(picture, labels, width)


def _together(picture: Picture, labels: Sequence[str], width: float) -> Figure:
    quantities = list(dict.fromkeys(picture.frame["quantity"]))
    across = len(quantities) if width > SIDE_BY_SIDE else 1
    down = -(-len(quantities) // across)
    figure = Figure(figsize=(width, 2.1 * down + 0.6), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    colours = dict(zip(labels, COLOURS, strict=False))
    for axes, quantity in zip(panels, quantities, strict=True):
        for label in labels:
            own = picture.frame.query("label == @label and quantity == @quantity")
            colour = colours[label]
            axes.plot(own["epoch"], own["mean"], color=colour, linewidth=1.1)
            axes.fill_between(own["epoch"], own["low"], own["high"], color=colour, alpha=0.12, linewidth=0)
        axes.set(xlabel=picture.x.title, ylabel=axis_title(quantity))
        axes.xaxis.get_major_locator().set_params(integer=True)
    entries = [Line2D([], [], color=colours[label], label=_short(label)) for label in labels]
    _title(figure, picture.title, width)
    _legend(figure, entries, width)
    return figure


def _apart(picture: Picture, labels: Sequence[str], width: float) -> Figure:
    """The baseline, or else the first method, is the grey line of every panel."""
    quantity = "val_acc" if "val_acc" in set(picture.frame["quantity"]) else picture.frame["quantity"].iloc[0]
    frame = picture.frame[picture.frame["quantity"] == quantity]
    ordered = [label for label in labels if label in set(frame["label"])]
    across = max(2, int(width / 1.1))
    down = -(-len(ordered) // across)
    figure = Figure(figsize=(width, 0.95 * down + 0.7), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    held = frame[frame["label"] == ordered[0]]
    for axes, label in zip(panels, ordered, strict=False):
        own = frame[frame["label"] == label]
        axes.plot(held["epoch"], held["mean"], color=GUIDE, linewidth=0.8)
        axes.fill_between(own["epoch"], own["low"], own["high"], color=TIED, alpha=0.2, linewidth=0)
        axes.plot(own["epoch"], own["mean"], color=TIED, linewidth=1)
        axes.set_title(_short(label, 22), fontsize=NAME_SIZE, pad=2)
        axes.tick_params(labelsize=6, length=2)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in panels[max(0, len(ordered) - across) : len(ordered)]:
        axes.tick_params(labelbottom=True)
    for axes in panels[len(ordered) :]:
        axes.remove()
    figure.supxlabel(picture.x.title, fontsize=8)
    figure.supylabel(axis_title(quantity), fontsize=8)
    _title(figure, f"{picture.title}; grey: {ordered[0]}", width)
    return figure


def _margins(picture: Picture, width: float) -> Figure:
    """A line per method, a mark per superclass, and the range of them."""
    superclasses = sorted(set(picture.frame["superclass"]))
    few = len(superclasses) <= TOLD_APART
    figure, axes = _rows(picture, width, 0.3 * few)
    wide = picture.frame.pivot_table(index="label", columns="superclass", values="mean", sort=False)
    at = np.arange(len(wide))
    axes.hlines(at, wide.min(axis=1), wide.max(axis=1), color="#BBBBBB", linewidth=1.2, zorder=1)
    for i, name in enumerate(superclasses):
        colour, marker = (COLOURS[i], MARKERS[i % len(MARKERS)]) if few else (TIED, "o")
        axes.scatter(
            wide[name], at, s=16 if few else 9, color=colour, marker=marker, alpha=0.9 if few else 0.5, linewidths=0
        )
    if few:
        _legend(figure, [_entry(MARKERS[i % 6], COLOURS[i], name) for i, name in enumerate(superclasses)], width)
    else:
        for row, name in zip(at, wide.idxmin(axis=1), strict=True):
            text = _short(str(name), 24)
            axes.annotate(
                text,
                (wide.iloc[row].min(), row),
                (-4, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=5.5,
            )
        left, right = axes.get_xlim()
        axes.set_xlim(left - 90 / 72 / width * (right - left), right)  # room for 24 characters
    return figure


def _superclasses(picture: Picture, width: float) -> Figure:
    """Methods by superclasses, hardest first, the figure in the cell where there is room."""
    wide = picture.frame.pivot_table(index="label", columns="superclass", values="mean", sort=False)
    wide = wide[wide.mean().sort_values(kind="stable").index]
    values, room = wide.to_numpy(np.float64), (width - 1.5) / wide.shape[1]  # inches of a column
    names, dense = [_short(str(name), 26) for name in wide.columns], room < DENSE
    figure = Figure(figsize=(width, ROW * len(wide) + 0.7 + 0.06 * max(map(len, names))), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="cividis", aspect="auto")
    turned = {"rotation": 90} if dense else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_yticks(range(len(wide)), [_short(str(label)) for label in wide.index])
    axes.tick_params(length=0, labelsize=NAME_SIZE)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, pad=0.02, aspect=30).ax.tick_params(labelsize=NAME_SIZE)
    _title(figure, f"{picture.title} · {picture.x.title}", width)
    middle = 0.55 * np.nanmin(values) + 0.45 * np.nanmax(values)
    for (row, column), value in np.ndenumerate(values if not dense else values[:0]):
        colour = "black" if value > middle else "white"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=5.5, color=colour)
    return figure


def _ranks(picture: Picture, width: float) -> Figure:
    """A line per method, best on top; bars on the right join those that cannot be told apart."""
    frame, cliques = picture.frame, picture.details
    figure, axes = _rows(picture, width, above=0.3)
    at = np.arange(len(frame))
    axes.hlines(at, frame["low"], frame["high"], color=TIED, linewidth=1.1)
    axes.scatter(frame["mean_rank"], at, s=24, color=TIED, zorder=3)
    beside, ends = axes.get_yaxis_transform(), list[int]()  # last lines of the bars that stand side by side
    for first, last in zip(cliques["first"], cliques["last"], strict=True):
        inside = at[(frame["mean_rank"] >= first) & (frame["mean_rank"] <= last)]
        free = [i for i, end in enumerate(ends) if end < inside[0]]
        place = free[0] if free else len(ends)
        ends[place : place + 1] = [inside[-1]]
        x, bar = 1.02 + 0.07 * place / width, [inside[0] - 0.3, inside[-1] + 0.3]
        axes.plot([x, x], bar, "black", linewidth=2, solid_capstyle="butt", transform=beside, clip_on=False)
    if np.isfinite(picture.guide):
        _ruler(axes, picture.guide)
    return figure


def _ruler(axes: Axes, length: float) -> None:
    """The critical difference, drawn above in the units of the axis."""
    left, right = axes.get_xlim()
    axes.set_xlim(left, max(right, left + 1.02 * length))
    above, words = axes.get_xaxis_transform(), f"critical difference {length:.2f}"
    ends = [left, left + length]
    axes.plot(ends, [1.0, 1.0], "black", linewidth=1.2, marker="|", markersize=6, transform=above, clip_on=False)
    axes.annotate(
        words, (left, 1.0), (0, 4), xycoords=above, textcoords="offset points", va="bottom", fontsize=NAME_SIZE
    )


def _features(picture: Picture, width: float) -> Figure:
    """The same points twice: coloured by superclass, and by class."""
    levels = [name for name in ("coarse", "fine") if len(set(picture.frame[name])) > 1] or ["fine"]
    across = len(levels) if width > SIDE_BY_SIDE else 1
    down = -(-len(levels) // across)
    side = width / across
    figure = Figure(figsize=(width, side * down + 0.25), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    _title(figure, picture.title, width)
    for axes, level in zip(panels, levels, strict=True):
        axes.set(xlabel=picture.x.title, ylabel=picture.y.title)
        axes.set_title({"coarse": "superclass", "fine": "class"}[level], fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes, level in zip(panels, levels, strict=True):
        _points(figure, axes, picture.frame, level)
    return figure


def _rows(picture: Picture, width: float, above: float = 0.0) -> tuple[Figure, Axes]:
    """Axes with a line per method, the first on top.

    Args:
        picture: its frame names the methods in their order.
        width: inches.
        above: room over the lines, inches.
    """
    names = list(dict.fromkeys(picture.frame["label"]))
    figure = Figure(figsize=(width, ROW * len(names) + above + 1.0), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=NAME_SIZE)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#EBEBEB", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(picture.x.title)
    _title(figure, picture.title, width)
    return figure, axes


def _title(figure: Figure, text: str, width: float) -> None:
    lines = textwrap.wrap(text, max(20, int(width * 72 / 4.3)), max_lines=3, placeholder=" …")
    figure.set_figheight(figure.get_figheight() + 0.13 * (len(lines) - 1))
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=8)


def _entry(marker: str, colour: str, words: str, fill: str = "") -> Line2D:
    return Line2D(
        [],
        [],
        marker=marker,
        color="none",
        markerfacecolor=fill or colour,
        markeredgecolor=colour,
        markersize=4.5,
        label=words,
    )


def _legend(figure: Figure, entries: Sequence[Line2D], width: float) -> None:
    longest = max(len(str(entry.get_label())) for entry in entries)
    columns = max(1, min(len(entries), int(width * 72 / (longest * 3.6 + 26))))
    figure.legend(
        handles=entries,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=NAME_SIZE,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def _looks(picture: Picture) -> dict[str, tuple[str, str]]:
    """Marker and colour of each method, the same in all pictures of a board."""
    return dict(zip(picture.labels, looks(len(picture.labels)), strict=True))


def _short(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _scales(axes: Axes, picture: Picture) -> None:
    for axis, set_scale, shown in ((axes.xaxis, axes.set_xscale, picture.x), (axes.yaxis, axes.set_yscale, picture.y)):
        axis.set_label_text(shown.title)
        if shown.log:
            set_scale("log")


def _frame_marks(axes: Axes, picture: Picture) -> None:
    """Limits that hold means and seeds; intervals may be cut, or one of two seeds would be all there is to see."""
    for name, log, limit in (("x", picture.x.log, axes.set_xlim), ("y", picture.y.log, axes.set_ylim)):
        values = pd.concat([picture.frame[name], picture.details[name]]).to_numpy(np.float64)
        values = np.log(values[values > 0]) if log else values
        low, high = values.min(), values.max()
        margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.5
        ends = np.array([low - margin, high + margin])
        limit(*(np.exp(ends) if log else ends))
    _keep_possible(axes.get_xlim, axes.set_xlim, picture.x.title)
    _keep_possible(axes.get_ylim, axes.set_ylim, picture.y.title)


def _keep_possible(get: Callable[[], tuple[float, float]], limit: Callable[..., Any], title: str) -> None:
    """Intervals of shares may reach out of what is possible; the axis does not."""
    if title.endswith("(%)"):
        low, high = get()
        limit(max(low, MARGIN_OF_SHARES[0]), min(high, MARGIN_OF_SHARES[1]))


def _worth_naming(picture: Picture) -> pd.Series:
    """Of too many methods: the first NAMED - 8, which are the best, the last seven, and the baseline."""
    place = np.arange(len(picture.frame))
    return pd.Series((place < NAMED - 8) | (place >= len(place) - 7)) | (picture.frame["label"] == picture.labels[0])


def _points(figure: Figure, axes: Axes, frame: pd.DataFrame, level: str) -> None:
    """Names stand at the medians of their classes, if there are few enough of them to be read."""
    names = sorted(set(frame[level]), key=natural)
    colours = list(COLOURS[: len(names)]) if len(names) <= TOLD_APART else _hues(frame, level, names)
    for colour, name in zip(colours, names, strict=True):
        own = frame[frame[level] == name]
        axes.scatter(own["x"], own["y"], s=5, color=colour, linewidths=0, alpha=0.75)
    if len(names) <= NAMED_CLASSES:
        middles = frame.groupby(level)[["x", "y"]].median().loc[names].to_numpy(np.float64)
        axes.scatter(middles[:, 0], middles[:, 1], s=22, color=colours, edgecolors="black", linewidths=0.7, zorder=3)
        points = frame[["x", "y"]].to_numpy(np.float64)
        name_marks(figure, axes, [_short(name, 24) for name in names], middles, points, colours)


def _hues(frame: pd.DataFrame, level: str, names: Sequence[str]) -> list[str]:
    """Hues around the circle; classes of one superclass lie side by side."""
    of = frame.drop_duplicates(level).set_index(level)["coarse"]
    order = sorted(names, key=lambda name: (of[name], name))
    shades = mpl.colormaps["turbo"](np.linspace(0.04, 0.96, len(names)))
    return [to_hex(shades[order.index(name)]) for name in names]


def comparison(one: Comparison, width: float) -> Figure:
    """Differences of a pair with intervals: read-outs in points, collapse in standard deviations, superclasses."""
    parts = [name for name in PARTS if one.part(name)[_unit(name)].notna().any()]  # two seeds have no effect size
    rows = {name: min(len(one.part(name)), LINES) + 3.2 for name in parts}  # 3.2 for the axis
    beside = [name for name in parts if name == "superclasses" and width > SIDE_BY_SIDE and len(parts) > 1]
    columns = [column for column in ([name for name in parts if name not in beside], beside) if column]
    longest = max(sum(rows[name] for name in column) for column in columns)
    figure = Figure(figsize=(width, ROW * longest + 0.6), layout="constrained")
    for panel, column in zip(figure.subfigures(1, len(columns), squeeze=False)[0], columns, strict=True):
        rest = longest - sum(rows[name] for name in column)
        heights = [rows[name] for name in column] + [rest] * (rest > 1)
        *axes, last = panel.subplots(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
        if rest > 1:
            last.set_axis_off()
        for drawn, name in zip([*axes, last], column, strict=False):
            _differences(drawn, one, name)
    text = f"{one.title}: {_short(one.first)} minus {_short(one.second)}; filled: told from 0 at 0.05 in its panel"
    _title(figure, text, width)
    return figure


def _unit(part: str) -> str:
    """The column of a part that is drawn."""
    return "effect" if part == "collapse" else "difference"


def _differences(axes: Axes, one: Comparison, part: str) -> None:
    """A line each; filled where it is told from 0."""
    lines = one.part(part)
    if len(lines) > LINES:  # the most and the least
        lines = pd.concat([lines.iloc[: LINES // 2], lines.iloc[-LINES // 2 :]])
    unit, low, high = _unit(part), *(("effect_low", "effect_high") if part == "collapse" else ("low", "high"))
    factor = 1.0 if part == "collapse" else 100.0
    names = lines["superclass"] if part == "superclasses" else lines["column"].map(title_of)
    at, value = np.arange(len(lines)), lines[unit] * factor
    holds = lines["p_holm"] < ALPHA
    axes.axvline(0, color=GUIDE, linewidth=0.8, zorder=0)
    axes.hlines(at, lines[low] * factor, lines[high] * factor, color=TIED, linewidth=1)
    axes.scatter(value, at, s=20, color=np.where(holds, TIED, "white"), edgecolors=TIED, linewidths=0.9, zorder=3)
    axes.set_yticks(at, [_short(str(name), 40) for name in names], fontsize=NAME_SIZE)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=NAME_SIZE)
    heading = {
        "read-outs": "difference × 100",
        "collapse": "difference / its standard deviation",
        "superclasses": "by superclass, difference × 100",
    }
    axes.set_xlabel(heading[part], fontsize=NAME_SIZE)


DRAWN: Mapping[str, Callable[[Picture, float], Figure]] = MappingProxyType(
    {
        "accuracy": _accuracy,
        "tradeoff": _pairs,
        "plane": _pairs,
        "collapse": _pairs,
        "cost": _pairs,
        "curves": _curves,
        "margins": _margins,
        "superclasses": _superclasses,
        "ranks": _ranks,
        "features": _features,
    }
)
