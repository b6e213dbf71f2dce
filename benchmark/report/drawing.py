"""What all figures share: colours that any eye tells apart, names that cover nothing, files that come out equal."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from benchmark.errors import InputError
from benchmark.report.correlation import Floats

# Okabe & Ito's colours, told apart with any colour vision; the yellow and the black are left out for contrast.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666")
MARKERS = "osD^vP"
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "c2f",  # equal input, equal file
    "savefig.dpi": 200,
    "text.parse_math": False,  # names are no formulas
}
FORMATS = ("png", "svg", "pdf")
NAME_SIZE = 6.5
LABEL_DISTANCES = (6, 10, 15, 21, 28, 36, 46, 58, 72, 88, 106)  # of a name from its mark, points
LABEL_ANGLES = np.radians(np.arange(0, 360, 15))
LEADER = 12  # from here on, a line leads from the mark to its name


def looks(number: int) -> list[tuple[str, str]]:
    """Marker and colour of each of so many things; the 43rd looks like the first."""
    different = list(product(MARKERS, COLOURS))
    return [different[i % len(different)] for i in range(number)]


def save(figure: Figure, path: Path, title: str = "", description: str = "") -> Path:
    """Write a figure in the format of the path's ending, the same bytes for the same figure; the path.

    Args:
        figure: under STYLE.
        path: ends with one of FORMATS.
        title: goes into the file, for who cannot see the figure.
        description: likewise.

    Raises:
        InputError: if it ends otherwise or cannot be written.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError(f"{path}: a figure is {', '.join(FORMATS)}; end the name with one of these")
    words = {"Title": title, "Subject" if kind == "pdf" else "Description": description}
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={name: text for name, text in words.items() if text} | undated)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another place with --out") from None
    return path


def name_marks(
    figure: Figure, axes: Axes, names: Sequence[str], marks: Floats, others: Floats, colours: Sequence[str]
) -> None:
    """Write each name where it covers least, as near its mark as that allows; the most crowded first.

    Args:
        figure: complete but for the names.
        axes: of the marks.
        names: n of them.
        marks: (n, 2), in data.
        others: (m, 2) small marks that names had better not cover, in data.
        colours: of leaders, n.
    """
    if not len(names):
        return
    figure.draw_without_rendering()  # settles the layout, which places in pixels depend on
    point, centres = figure.dpi / 72, axes.transData.transform(marks)
    taken, frame = list(_boxes(centres, 4.5 * point, 4.5 * point)), np.array(axes.bbox.extents)
    small = _boxes(axes.transData.transform(others), 1.5 * point, 1.5 * point)
    crowding = [np.sort(np.hypot(*(centres - centre).T))[:5].mean() for centre in centres]
    offsets = np.array([(d * np.cos(a), d * np.sin(a)) for d in LABEL_DISTANCES for a in LABEL_ANGLES])
    side = np.sign(np.round(offsets[:, 0]))
    far = np.hypot(*offsets.T)[:, None, None] >= LEADER
    leaders = np.where(far, offsets[:, None] * np.linspace(0.3, 1, 12)[:, None], 0) * point  # points on each line
    for i in np.argsort(crowding, kind="stable"):
        width, height = _text_size(axes, names[i])
        middles = centres[i] + offsets * point + np.stack([side * width / 2, 0 * side], axis=1)
        boxes = _boxes(middles, width / 2 + point, height / 2)
        covered = _overlap(boxes, np.array(taken)) + 0.2 * _overlap(boxes, small) + 1e3 * _outside(boxes, frame)
        crossed = _overlap(_boxes(leaders + centres[i], point, point).reshape(-1, 4), np.array(taken[len(names) :]))
        best = int(np.argmin(covered + crossed.reshape(len(offsets), -1).sum(axis=1) + np.hypot(*offsets.T)))
        taken += [boxes[best], *_boxes(leaders[best] + centres[i], point / 2, point / 2)]
        _write_name(axes, names[i], marks[i], offsets[best], colours[i])


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height, pixels."""
    drawn = axes.text(0, 0, text, fontsize=NAME_SIZE)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width, box.height


def _write_name(axes: Axes, text: str, mark: Floats, offset: Floats, colour: str) -> None:
    """With a line of the mark's colour to the name's near end if it is far."""
    across, up = (int(sign) for sign in np.sign(np.round(offset)))
    end = ((1 - across) / 2, 0.5 if across else (1 - up) / 2)
    line = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": end}
    axes.annotate(
        text,
        (mark[0], mark[1]),
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
    others = others.reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    area: Floats = np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
    return area


def _outside(boxes: Floats, frame: Floats) -> Floats:
    """(n, 4), (4,) -> (n,) how far each box reaches out of the frame."""
    beyond = np.concatenate([frame[:2] - boxes[:, :2], boxes[:, 2:] - frame[2:]], axis=1)
    length: Floats = np.clip(beyond, 0, None).sum(axis=1)
    return length
