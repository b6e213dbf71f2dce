"""Pictures for papers: what `views` shows, drawn by matplotlib, as PNG, SVG or PDF of the width of a column or page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from benchmark.errors import InputError
from benchmark.report.drawing import COLOURS, MARKERS, NAME_SIZE, STYLE, looks, name_marks, save
from benchmark.report.table import natural
from benchmark.report.views import VIEWS, Picture, axis_title

WIDTHS = MappingProxyType({"column": 85.0, "page": 175.0})  # mm
MIN_WIDTH, MAX_WIDTH = 60.0, 500.0  # mm
INCH = 25.4  # mm
ROW = 0.165  # inch, of a method's line
LONGEST = 44  # characters of a name that are drawn
NAMED = 40  # methods that are named in a picture of marks; of more, the best, the worst and the reference alone
TOGETHER = 8  # methods whose curves are told apart in one panel; more have a panel each
TOLD_APART = 7  # classes told apart by colour
NUMBERED = 30  # superclasses up to which their figures are written into the cells
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
    _keep_possible(axes, picture.x.title)
    return figure


def _pairs(picture: Picture, width: float) -> Figure:
    """A mark per method with both intervals and its name; small marks are seeds."""
    frame = picture.frame
    figure = Figure(figsize=(width, width * (0.95 if width < 5 else 0.72)), layout="constrained")
    axes = figure.subplots()
    styles = _looks(picture)
    if np.isfinite(picture.guide):
        axes.axvline(picture.guide, color=GUIDE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    for line in frame.to_dict("records"):
        marker, colour = styles[line["label"]]
        own = picture.details[picture.details["label"] == line["label"]]
        axes.hlines(line["y"], line["x_low"], line["x_high"], color=colour, linewidth=0.7, alpha=0.4, zorder=1)
        axes.vlines(line["x"], line["y_low"], line["y_high"], color=colour, linewidth=0.7, alpha=0.4, zorder=1)
        axes.scatter(own["x"], own["y"], s=6, marker=marker, color=colour, alpha=0.4, linewidths=0, zorder=2)
        axes.scatter(
            line["x"], line["y"], s=30, marker=marker, color=colour, edgecolors="white", linewidths=0.6, zorder=3
        )
    _scales(axes, picture)
    _frame_marks(axes, picture)
    named = frame if len(frame) <= NAMED else frame[_worth_naming(picture)]
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize=8)
    marks, others = named[["x", "y"]].to_numpy(np.float64), picture.details[["x", "y"]].to_numpy(np.float64)
    colours = [styles[label][1] for label in named["label"]]
    name_marks(figure, axes, [_short(label) for label in named["label"]], marks, others, colours)
    return figure


def _curves(picture: Picture, width: float) -> Figure:
    """A panel per quantity, or where there are many methods a panel per method with the first of the quantities."""
    labels = list(dict.fromkeys(picture.frame["label"]))
    return _together(picture, labels, width) if len(labels) <= TOGETHER else _apart(picture, labels, width)


def _together(picture: Picture, labels: Sequence[str], width: float) -> Figure:
    quantities = list(dict.fromkeys(picture.frame["quantity"]))
    across = len(quantities) if width > 5 else 1
    down = -(-len(quantities) // across)
    figure = Figure(figsize=(width, 2.1 * down + 0.6), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    styles = _looks(picture)
    for axes, quantity in zip(panels, quantities, strict=True):
        for label in labels:
            own = picture.frame.query("label == @label and quantity == @quantity")
            colour = styles[label][1]
            axes.plot(own["epoch"], own["mean"], color=colour, linewidth=1.1)
            axes.fill_between(own["epoch"], own["low"], own["high"], color=colour, alpha=0.12, linewidth=0)
        axes.set(xlabel=picture.x.title, ylabel=axis_title(quantity))
        axes.xaxis.get_major_locator().set_params(integer=True)
    entries = [Line2D([], [], color=styles[label][1], label=_short(label)) for label in labels]
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize=8)
    _legend(figure, entries, width)
    return figure


def _apart(picture: Picture, labels: Sequence[str], width: float) -> Figure:
    """The baseline, or else the first method, is the grey line of every panel."""
    quantity = "val_acc" if "val_acc" in set(picture.frame["quantity"]) else picture.frame["quantity"].iloc[0]
    frame = picture.frame[picture.frame["quantity"] == quantity]
    ordered = [label for label in picture.labels if label in set(frame["label"])]
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
    for axes in panels[len(ordered) :]:
        axes.remove()
    figure.supxlabel(picture.x.title, fontsize=8)
    figure.supylabel(axis_title(quantity), fontsize=8)
    figure.suptitle(f"{picture.title}; grey: {ordered[0]}", x=0.01, ha="left", fontsize=8)
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
        axes.margins(x=0.25)
    return figure


def _superclasses(picture: Picture, width: float) -> Figure:
    """Methods by superclasses, the figure in the cell."""
    wide = picture.frame.pivot_table(index="label", columns="superclass", values="mean", sort=False)
    columns = list(dict.fromkeys(picture.frame["superclass"]))
    columns = sorted(columns, key=lambda name: wide[name].mean())
    values = wide[columns].to_numpy(np.float64)
    figure = Figure(figsize=(width, ROW * len(wide) + 1.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="cividis", aspect="auto")
    axes.set_xticks(
        range(len(columns)), [_short(name, 26) for name in columns], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(wide)), [_short(str(label)) for label in wide.index])
    axes.tick_params(length=0, labelsize=NAME_SIZE)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, label=picture.x.title, pad=0.02, aspect=30)
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize=8)
    if len(columns) <= NUMBERED:
        middle = np.nanmean([np.nanmin(values), np.nanmax(values)])
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(
                    column,
                    row,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=5.5,
                    color="black" if value > middle else "white",
                )
    return figure


def _ranks(picture: Picture, width: float) -> Figure:
    """A line per method, best on top; bars on the right join those that cannot be told apart."""
    frame, cliques = picture.frame, picture.details
    figure, axes = _rows(picture, width, 0.3)
    at = np.arange(len(frame))
    axes.hlines(at, frame["low"], frame["high"], color=TIED, linewidth=1.1)
    axes.scatter(frame["mean_rank"], at, s=24, color=TIED, zorder=3)
    place = {label: i for i, label in enumerate(frame["label"])}
    axes.set_xlim(left=min(1, frame["low"].min()) - 0.2)
    for i, labels in enumerate(cliques["labels"]):
        rows = [place[label] for label in labels]
        x = 1.03 + 0.022 * i
        axes.plot(
            [x, x],
            [min(rows) - 0.25, max(rows) + 0.25],
            color="black",
            linewidth=2.2,
            solid_capstyle="butt",
            transform=axes.get_yaxis_transform(),
            clip_on=False,
        )
    return figure


def _features(picture: Picture, width: float) -> Figure:
    """The same points twice: coloured by superclass, and by class."""
    levels = [name for name in ("coarse", "fine") if len(set(picture.frame[name])) > 1] or ["fine"]
    across = len(levels) if width > 5 else 1
    down = -(-len(levels) // across)
    side = width / across
    figure = Figure(figsize=(width, side * down + 0.25), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize=8)
    for axes, level in zip(panels, levels, strict=True):
        axes.set(xlabel=picture.x.title, ylabel=picture.y.title, title={"coarse": "superclass", "fine": "class"}[level])
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
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize=8)
    return figure, axes


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


def _keep_possible(axes: Axes, title: str) -> None:
    """Intervals of shares may reach out of what is possible; the axis does not."""
    if title.endswith("(%)"):
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, MARGIN_OF_SHARES[0]), min(high, MARGIN_OF_SHARES[1]))


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
    if len(names) <= NUMBERED:
        middles = frame.groupby(level)[["x", "y"]].median().loc[names].to_numpy(np.float64)
        for colour, name, (x, y) in zip(colours, names, middles, strict=True):
            halo = [withStroke(linewidth=2, foreground="white")]
            axes.annotate(
                _short(name, 24),
                (x, y),
                ha="center",
                va="center",
                fontsize=NAME_SIZE,
                color=_darker(colour),
                weight="bold",
                path_effects=halo,
            )


def _hues(frame: pd.DataFrame, level: str, names: Sequence[str]) -> list[str]:
    """Hues around the circle; classes of one superclass lie side by side."""
    of = frame.drop_duplicates(level).set_index(level)["coarse"]
    order = sorted(names, key=lambda name: (of[name], name))
    shades = mpl.colormaps["turbo"](np.linspace(0.04, 0.96, len(names)))
    return [to_hex(shades[order.index(name)]) for name in names]


def _darker(colour: str) -> str:
    red, green, blue = (0.6 * part for part in to_rgb(colour))
    return to_hex((red, green, blue))


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
