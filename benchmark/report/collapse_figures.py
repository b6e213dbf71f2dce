"""Figures of `c2f report collapse`: every correlation of a group as a heatmap, and chosen pairs cell by cell."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmark.report.collapse import Comparison, counted, title_of
from benchmark.report.drawing import STYLE, looks, name_marks, save
from benchmark.report.views import WIDE_RANGE

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
            files += _both(heatmap(one, readouts), folder / f"{one.slug}-heatmap")
        for metric, readout in pairs:
            if len(_known(one.cells, metric, readout)):
                files += _both(scatter(one, metric, readout), folder / f"{one.slug}-{metric}-{readout}")
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
    of_methods = looks(len(means))
    for (marker, colour), (label, mean) in zip(of_methods, means.iterrows(), strict=True):
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
    marks = means.to_numpy(np.float64), cells[[metric, readout]].to_numpy(np.float64)
    name_marks(figure, axes, [str(label) for label in means.index], *marks, [colour for _, colour in of_methods])
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


def _both(figure: Figure, stem: Path) -> list[Path]:
    return [save(figure, stem.with_name(f"{stem.name}.{kind}")) for kind in ("png", "svg")]
