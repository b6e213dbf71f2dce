"""Figures of `c2f report collapse`: every correlation of a group as a heatmap, and chosen pairs cell by cell."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from benchmark.errors import InputError
from benchmark.report.collapse import Comparison, counted, title_of
from benchmark.report.correlation import Floats

# Okabe & Ito's colours, told apart with any colour vision; the yellow and the black are left out for contrast.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666")
MARKERS = "osD^vP"
SHOWN = (
    "fine_linear_acc",
    "fine_linear_worst_acc",
    "fine_linear_within_acc",
    "fine_knn_acc",
    "fine_ncm_acc",
    "fine_recall_at_1",
    "fine_map_at_r",
    "fine_5way_1shot_acc",
    "fine_5way_5shot_acc",
    "fine_intra_1shot_acc",
    "fine_intra_5shot_acc",
    "fine_cluster_ami",
    "fine_tuned_acc",
)
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "c2f",  # equal input, equal file
    "savefig.dpi": 200,
}
NAME_SIZE = 6.5
LABEL_DISTANCES = (6, 10, 15, 21, 28, 36, 46, 58, 72, 88, 106)  # of a name from its mark, points
LABEL_ANGLES = np.radians(np.arange(0, 360, 15))
LEADER = 12  # from here on, a line leads from the mark to its name
WIDE_RANGE = 20  # largest over smallest value from which an axis is logarithmic
DENSE = 0.6  # |rho| from which a cell of the heatmap is dark


def write(one: Comparison, folder: Path, pairs: Sequence[tuple[str, str]], readouts: Sequence[str] = ()) -> list[Path]:
    """The figures of a group as PNG and SVG; the files.

    Args:
        one: of `collapse.comparisons`.
        folder: exists.
        pairs: metrics and read-outs to show cell by cell; those that no cell of the group has are left out.
        readouts: columns of the heatmap; none: those of SHOWN that are defined.

    Raises:
        InputError: if the folder cannot be written.
    """
    files = []
    with mpl.rc_context(STYLE):
        if one.pairs["rho"].notna().any():
            files += _save(heatmap(one, readouts), folder / f"{one.slug}-heatmap")
        for metric, readout in pairs:
            if len(_known(one.cells, metric, readout)):
                files += _save(scatter(one, metric, readout), folder / f"{one.slug}-{metric}-{readout}")
    return files


def heatmap(one: Comparison, readouts: Sequence[str] = ()) -> Figure:
    """Spearman's rho of all metrics with the read-outs; bold and framed where the interval excludes 0."""
    pairs = one.pairs.dropna(subset=["rho"])
    defined = list(dict.fromkeys(pairs["read_out"]))
    columns = [name for name in (readouts or SHOWN) if name in defined] or defined
    pairs = pairs[pairs["read_out"].isin(columns)]
    lines = list(dict.fromkeys(pairs["metric"]))
    rho = np.full((len(lines), len(columns)), np.nan)
    figure = Figure(figsize=(3.1 + 0.34 * len(columns), 2.2 + 0.2 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for pair in pairs.to_dict("records"):
        row, column = lines.index(pair["metric"]), columns.index(pair["read_out"])
        rho[row, column] = pair["rho"]
        _write_cell(axes, row, column, pair["rho"], holds=pair["low"] > 0 or pair["high"] < 0)
    axes.set_facecolor("#DDDDDD")
    image = axes.imshow(rho, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    names = [title_of(name) for name in columns]
    axes.set_xticks(range(len(columns)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(lines)), [title_of(name) for name in lines])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.suptitle(f"{one.title}\n{one.size}\nframed: 95 % interval without 0", x=0.01, ha="left", fontsize=8)
    figure.colorbar(image, label="Spearman's ρ over cells", pad=0.02, aspect=30, ticks=[-1, -0.5, 0, 0.5, 1])
    return figure


def scatter(one: Comparison, metric: str, readout: str) -> Figure:
    """One mark per cell, larger ones for the means of methods over seeds; colour and shape tell methods apart."""
    cells = _known(one.cells, metric, readout)
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    axes = figure.subplots()
    means = cells.groupby("label", sort=False)[[metric, readout]].mean()
    looks = list(product(MARKERS, COLOURS))
    for i, (label, mean) in enumerate(means.iterrows()):
        marker, colour = looks[i % len(looks)]
        own = cells[cells["label"] == label]
        axes.scatter(own[metric], own[readout], s=9, marker=marker, color=colour, alpha=0.45, linewidths=0)
        axes.scatter(
            mean[metric], mean[readout], s=42, marker=marker, color=colour, edgecolors="white", linewidths=0.6, zorder=3
        )
    for name, axis, scale in ((metric, axes.xaxis, axes.set_xscale), (readout, axes.yaxis, axes.set_yscale)):
        axis.set_label_text(f"{title_of(name)} ({name})")
        if 0 < cells[name].min() < cells[name].max() / WIDE_RANGE:
            scale("log")
    lines = [one.title, _statistics(one.pairs, metric, readout)]
    lines += ["small marks: cells; large: means over seeds"] if len(cells) > len(means) else []
    axes.set_title("\n".join(lines), loc="left", fontsize=8)
    axes.margins(0.06)
    colours = [looks[i % len(looks)][1] for i in range(len(means))]
    _label(figure, axes, means, cells[[metric, readout]].to_numpy(np.float64), colours)
    return figure


def _known(cells: pd.DataFrame, metric: str, readout: str) -> pd.DataFrame:
    """Label and numbers of the cells that have both, finite."""
    if not {metric, readout} <= set(cells.columns):
        return pd.DataFrame()
    numbers = cells[[metric, readout]].apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    known: pd.DataFrame = numbers.assign(label=cells["label"]).dropna()
    return known


def _write_cell(axes: Axes, row: int, column: int, rho: float, holds: bool) -> None:
    colour = "white" if abs(rho) > DENSE else "black"
    text = f"{round(rho, 2) + 0.0:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")
    axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=6, weight="bold" if holds else None)
    if holds:
        corner = (column - 0.46, row - 0.43)
        axes.add_patch(Rectangle(corner, 0.92, 0.86, fill=False, edgecolor=colour, linewidth=0.8))


def _statistics(pairs: pd.DataFrame, metric: str, readout: str) -> str:
    found = pairs[(pairs["metric"] == metric) & (pairs["read_out"] == readout)].iloc[0]
    if np.isnan(found["rho"]):
        return f"Spearman's ρ is undefined: {found['note']}"
    interval = "" if np.isnan(found["low"]) else f" [{found['low']:.2f}, {found['high']:.2f}]"
    given = "" if np.isnan(found["partial_rho"]) else f"; given coarse accuracy {found['partial_rho']:.2f}"
    size = f"{counted(found['n_methods'], 'method')}, {counted(found['n_cells'], 'cell')}"
    return f"Spearman's ρ = {found['rho']:.2f}{interval}{given}; {size}".replace("-", "\N{MINUS SIGN}")


def _label(figure: Figure, axes: Axes, means: pd.DataFrame, cells: Floats, colours: Sequence[str]) -> None:
    """Write each method's name where it covers least, as near its mean as that allows; the most crowded first."""
    figure.draw_without_rendering()  # settles the layout, which places in pixels depend on
    point, marks = figure.dpi / 72, axes.transData.transform(means.to_numpy(np.float64))
    taken, frame = list(_boxes(marks, 4.5 * point, 4.5 * point)), np.array(axes.bbox.extents)
    small = _boxes(axes.transData.transform(cells), 1.5 * point, 1.5 * point)
    crowding = [np.sort(np.hypot(*(marks - mark).T))[:5].mean() for mark in marks]
    for i in np.argsort(crowding):
        width, height = _text_size(axes, str(means.index[i]))
        offsets = np.array([(d * np.cos(a), d * np.sin(a)) for d in LABEL_DISTANCES for a in LABEL_ANGLES])
        side = np.sign(np.round(offsets[:, 0]))
        centres = marks[i] + offsets * point + np.stack([side * width / 2, 0 * side], axis=1)
        boxes = _boxes(centres, width / 2 + point, height / 2)
        covered = _overlap(boxes, np.array(taken)) + 0.2 * _overlap(boxes, small) + 1e3 * _outside(boxes, frame)
        best = int(np.argmin(covered + np.hypot(*offsets.T)))
        taken.append(boxes[best])
        _write_name(axes, str(means.index[i]), means.iloc[i], offsets[best], colours[i])


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height, pixels."""
    drawn = axes.text(0, 0, text, fontsize=NAME_SIZE)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width, box.height


def _write_name(axes: Axes, text: str, mean: pd.Series, offset: Floats, colour: str) -> None:
    """With a line of the mark's colour to the name's near end if it is far."""
    across, up = (int(sign) for sign in np.sign(np.round(offset)))
    end = ((1 - across) / 2, 0.5 if across else (1 - up) / 2)
    line = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": end}
    axes.annotate(
        text,
        (mean.iloc[0], mean.iloc[1]),
        (offset[0], offset[1]),
        textcoords="offset points",
        ha=("center", "left", "right")[across],
        va="center",
        fontsize=NAME_SIZE,
        arrowprops=line if np.hypot(*offset) >= LEADER else None,
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
        zorder=4,
    )


def _boxes(centres: Floats, half_width: float, half_height: float) -> Floats:
    """(n, 2) -> (n, 4): left, bottom, right, top."""
    half = np.array([half_width, half_height])
    return np.concatenate([centres - half, centres + half], axis=1)


def _overlap(boxes: Floats, others: Floats) -> Floats:
    """(n, 4), (m, 4) -> (n,) the area of each box that others cover, counted for each."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    area: Floats = np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
    return area


def _outside(boxes: Floats, frame: Floats) -> Floats:
    """(n, 4), (4,) -> (n,) how far each box reaches out of the frame."""
    beyond = np.concatenate([frame[:2] - boxes[:, :2], boxes[:, 2:] - frame[2:]], axis=1)
    length: Floats = np.clip(beyond, 0, None).sum(axis=1)
    return length


def _save(figure: Figure, stem: Path) -> list[Path]:
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    try:
        figure.savefig(files[0])
        figure.savefig(files[1], metadata={"Date": None})
    except OSError as error:
        raise InputError(f"{files[0]}: cannot be written ({error.strerror}); name another folder with --out") from None
    return files
