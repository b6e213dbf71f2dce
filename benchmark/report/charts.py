"""Vega-Lite specifications of the site's charts, made from the pictures of `views`.

A specification's colours are parameters (COLOURS), to which the page gives the theme's values when it draws it
(assets/site.js); so the same one serves dark and light.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.report import views
from benchmark.report.board import Board, Floats, Leaderboard
from benchmark.report.table import in_per_cent
from benchmark.report.views import Axis, Picture

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, never fetched
COLOURS = {"tied": "#2c7a58", "plain": "#0072b2", "few": "#8a929a", "muted": "#5c6670", "paper": "#fdfdfb"}
FAMILIES = ("control", "image policy", "input mixing", "feature mixing", "contrastive", "unknown")
TIED, BELOW, FEW = "cannot be told from the best", "significantly below the best", "too few seeds to rank"
BY_SUPERCLASS = ("margins", "superclasses")
MAX_LINES = 60  # methods in a chart with a line for each
MAX_CURVES = 6  # beside the reference
MAX_EPOCHS = 100  # points of a curve
MAX_BOARDS = 12  # on the page of all boards
MAX_KEYS = 20  # classes that a legend names
DIGITS = 5  # significant, of what is drawn
CURVE_HEIGHT = 240
STEP = 21  # height of a line, pixels
HEIGHT = 340  # of a plot, pixels
PLOT = (470.0, float(HEIGHT))  # width and height that labels are placed for
LETTER = (6.3, 13.0)  # width and height of one, pixels
SIDE = {"left": 1, "right": -1, "center": 0}
MAX_NAMES = 60  # that are tried
PLACES = ((8, 0, "left"), (-8, 0, "right"), (0, -11, "center"), (0, 12, "center"))  # of a label beside its mark
TICKS = {"expr": "width < 400 ? 4 : 7"}
ZOOM = {
    "name": "zoom",
    "select": {
        "type": "interval",
        "translate": "[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!",
        "zoom": "wheel![event.shiftKey]",
    },
    "bind": "scales",
}


KNOWN = {"transform": [{"filter": "isValid(datum.low)"}]}
MARK = {"size": 75, "strokeWidth": 1.6, "opacity": 1}
HINT = (
    "Point at a mark for its figures. In scatter plots a filled mark cannot be told from the best; drag to move, shift "
    "and wheel to zoom, double click to reset."
)


@dataclass(frozen=True)
class Chart:
    """A chart on a page.

    Attributes:
        id: of the figure, unique on its page.
        title: heading.
        caption: what is drawn, and what is not.
        spec: Vega-Lite, JSON; its `description` is read to those who cannot see it.
        height: pixels to keep free for it.
        classes: for CSS; "wide" takes the whole width.
    """

    id: str
    title: str
    caption: str
    spec: Spec
    height: int = HEIGHT + 90
    classes: str = ""


@dataclass(frozen=True)
class Details:
    """Pictures of training, margins and superclasses of a board by kind, as far as anything is known of them.

    Attributes:
        pictures: of all methods.
        parts: their frames by label.
    """

    pictures: Mapping[str, Picture]
    parts: Mapping[str, Mapping[str, pd.DataFrame]]

    def of(self, labels: Sequence[str]) -> dict[str, Picture]:
        """The same of some methods alone, in this order."""
        return {kind: _only(picture, self.parts[kind], labels) for kind, picture in self.pictures.items()}


def of_leaderboard(leaderboard: Leaderboard, families: Mapping[str, str]) -> list[Chart]:
    """Ranks over boards, and the accuracies of each board; of a single board also its scatter plots.

    Args:
        leaderboard: all of it.
        families: of methods, by name.
    """
    overall, boards = leaderboard.overall, leaderboard.boards
    found = [] if overall is None or overall.ranks.empty else [_ranks(views.ranks(overall))]
    for board in boards[:MAX_BOARDS]:
        title = "Accuracy" if len(boards) == 1 else board.title
        found += _accuracy(views.accuracy(board), f"{board.slug}-accuracy", title)
    return found + (_scatters(boards[0], families) if len(boards) == 1 else [])


def details(board: Board, scores: pd.DataFrame, history: pd.DataFrame) -> Details:
    """What long tables say of a board, aggregated once for all of its pages.

    Args:
        board: with at least one finished row.
        scores: of `views.scores`.
        history: of `views.history`.
    """
    keys = board.cells["key"]
    pictures: dict[str, Picture] = {}
    if scores["key"].isin(keys).any():
        pictures |= {"margins": views.margins(board, scores), "superclasses": views.superclasses(board, scores)}
    if history["key"].isin(keys).any():
        pictures["curves"] = views.curves(board, history)
    parts = {kind: {str(k): rows for k, rows in one.frame.groupby("label")} for kind, one in pictures.items()}
    return Details(pictures, parts)


def of_board(board: Board, long: Details, families: Mapping[str, str]) -> list[Chart]:
    """Everything that is drawn of a board.

    Args:
        board: with at least one finished row.
        long: of `details`.
        families: of methods, by name.
    """
    best = list(board.lines.loc[board.lines["n"] > 0, "label"][:MAX_CURVES])
    labels = _with_reference(board, best)
    found = _accuracy(views.accuracy(board), f"{board.slug}-accuracy", "Accuracy") + _scatters(board, families)
    for kind in BY_SUPERCLASS:
        if kind in long.pictures:
            found += _by_superclass(long.pictures[kind], f"{board.slug}-{kind}")
    return found + (_curves(long.of(labels)["curves"], board.slug, labels) if "curves" in long.pictures else [])


def of_method(board: Board, label: str, long: Details) -> list[Chart]:
    """A method beside the reference: every superclass, and training."""
    both = _with_reference(board, [label])
    found: list[Chart] = []
    for kind, picture in long.of(both).items():
        name = f"{board.slug}-{kind}"
        found += _curves(picture, board.slug, both) if kind == "curves" else _beside(picture, name, both)
    return found


def of_features(picture: Picture, name: str) -> list[Chart]:
    """Features of one cell, coloured by coarse and by fine label."""
    kinds = [kind for kind in ("coarse", "fine") if picture.frame[kind].astype(bool).any()]
    return [_features(picture, f"{name}-{kind}", kind) for kind in kinds]


def _accuracy(picture: Picture, name: str, title: str) -> list[Chart]:
    """Means, intervals and seeds of every method, a line each."""
    frame = _capped(picture.frame)
    if frame.empty:
        return []
    order = list(frame["label"])
    seeds = picture.details[picture.details["label"].isin(order)].dropna(subset=["value"])
    x, y = _number(picture.x, _reach(frame, ["mean"], ["low", "high"], picture.x)), _lines(order)
    tip = _tips({"label": "method", "mean": picture.x.title, "low": "95 % from", "high": "to", "n": "seeds"})
    span = {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": _state("plain")}
    mark = {"x": {**x, "field": "mean"}, "y": y, "color": _state("plain"), "fill": _state("paper"), "tooltip": tip}
    seed = _layer(
        "tick", {"x": {**x, "field": "value"}, "y": y}, thickness=1, size=9, opacity=0.6, color=_expr("muted")
    )
    layers = [
        *_guide(picture.guide),
        _layer("rule", span, strokeWidth=2) | KNOWN,
        seed | {"data": _data(seeds[["label", "value"]])},
        _layer("point", mark, **MARK),
    ]
    first = f"{order[0]}, {frame['mean'].iloc[0]:.1f}"
    says = f"{picture.x.title} of {len(order)} methods with intervals, best first: {first}."
    spec = _spec(_with_state(frame), {"layer": layers, "height": STEP * len(order)}, says)
    caption = _cap_note(picture.caption, len(picture.frame))
    return [Chart(name, title, caption, spec, STEP * len(order) + 90, "wide")]


def _scatters(board: Board, families: Mapping[str, str]) -> list[Chart]:
    found = []
    methods = dict(zip(board.lines["label"].tolist(), board.lines["method"].tolist(), strict=True))
    for picture in (views.tradeoff(board), views.plane(board), views.collapse(board), views.cost(board)):
        if len(picture.frame):
            family = [families.get(methods[label], "unknown") for label in picture.frame["label"].tolist()]
            frame = picture.frame.assign(family=family)
            found.append(_scatter(picture, f"{board.slug}-{picture.kind}", frame, board.reference))
    return found


def _scatter(picture: Picture, name: str, frame: pd.DataFrame, reference: str) -> Chart:
    """Two columns against each other, a mark per method, names where there is room."""
    x = _number(picture.x, _reach(frame, ["x"], ["x_low", "x_high"], picture.x, room=0.15))
    y = _number(picture.y, _reach(frame, ["y"], ["y_low", "y_high"], picture.y, room=0.15))
    frame = frame.assign(place=_places(frame, x, y, reference))
    shown = [family for family in FAMILIES if family in set(frame["family"])]
    colour = _nominal("family", FAMILIES, legend={"values": shown, "symbolOpacity": 1})
    fill = {"condition": {"test": "datum.tied", **colour}, "value": _expr("paper")}
    at = {"x": {**x, "field": "x"}, "y": {**y, "field": "y"}}
    across = {"x": {**x, "field": "x_low"}, "x2": {"field": "x_high"}, "y": at["y"], "color": colour}
    along = {"y": {**y, "field": "y_low"}, "y2": {"field": "y_high"}, "x": at["x"], "color": colour}
    names = {"label": "method", "family": "family", "x": picture.x.title, "y": picture.y.title, "n": "seeds"}
    marks = _layer("point", {**at, "color": colour, "fill": fill, "tooltip": _tips(names)}, **MARK)
    layers = [
        *([_dots(picture, frame, {**at, "color": colour})] if picture.kind == "collapse" else []),
        _layer("rule", across, opacity=0.22),
        _layer("rule", along, opacity=0.22),
        marks | {"params": [ZOOM]},
        *(_label(at, place) for place in range(len(PLACES)) if (frame["place"] == place).any()),
    ]
    says = f"{picture.y.title} against {picture.x.title}, a mark for each of {len(frame)} methods."
    spec = _spec(frame.drop(columns=["slug", "separable"]), {"layer": layers, "height": HEIGHT}, says)
    return Chart(name, views.VIEWS[picture.kind].title, picture.caption, spec)


def _dots(picture: Picture, frame: pd.DataFrame, encoding: Spec) -> Spec:
    """Every seed."""
    seeds = picture.details.merge(frame[["label", "family"]], on="label")[["x", "y", "family"]]
    return _layer("point", encoding, size=7, filled=True, opacity=0.5) | {"data": _data(seeds)}


def _curves(picture: Picture, slug: str, labels: Sequence[str]) -> list[Chart]:
    """A chart for each quantity; lines of methods, and bands where there are two at most."""
    found = []
    which = f" The best {MAX_CURVES} and the reference; a click on a name dims the others." if len(labels) > 2 else ""
    for quantity, title in views.QUANTITIES.items():
        rows = picture.frame[picture.frame["quantity"] == quantity]
        if rows.empty:
            continue
        epochs = np.unique(rows["epoch"])
        kept = epochs[np.linspace(0, len(epochs) - 1, min(MAX_EPOCHS, len(epochs))).round().astype(int)]
        frame = rows[rows["epoch"].isin(kept)].drop(columns=["slug", "quantity", "n"])
        says = f"{views.axis_title(quantity)} by epoch of {', '.join(labels)}."
        body = {"layer": _curve_layers(views.axis_title(quantity), labels), "height": CURVE_HEIGHT}
        spec = _spec(frame, body, says)
        heading = title[0].upper() + title[1:]
        found.append(Chart(f"{slug}-{quantity}", heading, picture.caption + which, spec, CURVE_HEIGHT + 90))
    return found


def _curve_layers(title: str, labels: Sequence[str]) -> list[Spec]:
    x = {"field": "epoch", "type": "quantitative", "title": "epoch", "axis": {"tickMinStep": 1, "grid": False}}
    x["scale"] = {"nice": False, "zero": False}
    y = {"field": "mean", "type": "quantitative", "title": title, "scale": {"zero": False}}
    colour = _nominal("label", labels, legend={"symbolOpacity": 1})
    faint = {"condition": {"param": "chosen", "value": 1}, "value": 0.15}
    tip = _tips({"label": "method", "epoch": "epoch", "mean": title, "low": "lowest seed", "high": "highest seed"})
    band = _layer("area", {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour}, opacity=0.12)
    lines = _layer("line", {"x": x, "y": y, "color": colour, "opacity": faint, "tooltip": tip}, strokeWidth=1.8)
    lines["params"] = [{"name": "chosen", "select": {"type": "point", "fields": ["label"]}, "bind": "legend"}]
    return [band, lines] if len(labels) <= 2 else [lines]


def _by_superclass(picture: Picture, name: str) -> list[Chart]:
    """A line per method, a mark per superclass."""
    order = list(dict.fromkeys(picture.frame["label"]))[:MAX_LINES]
    frame = picture.frame[picture.frame["label"].isin(order)]
    if frame.empty:
        return []
    superclasses = list(dict.fromkeys(frame["superclass"]))
    x = _number(picture.x, _reach(frame, ["mean"], [], picture.x))
    y = _lines(order)
    legend = {"legend": {"symbolLimit": MAX_KEYS}} if len(superclasses) <= len(COLOURS) else {"legend": None}
    colour = {"field": "superclass", "type": "nominal", "title": "superclass", "sort": superclasses, **legend}
    tip = _tips({"label": "method", "superclass": "superclass", "mean": picture.x.title, "n": "seeds"})
    span = {"x": {**x, "field": "mean", "aggregate": "min"}, "x2": {"field": "mean", "aggregate": "max"}, "y": y}
    layers = [
        _layer("rule", span, opacity=0.35, color=_expr("muted")),
        _layer(
            "point",
            {"x": {**x, "field": "mean"}, "y": y, "color": colour, "tooltip": tip},
            size=45,
            filled=True,
            opacity=0.85,
        ),
    ]
    says = f"{picture.x.title} of {len(superclasses)} superclasses for each of {len(order)} methods."
    spec = _spec(frame.drop(columns=["slug"]), {"layer": layers, "height": STEP * len(order)}, says)
    caption = _cap_note(picture.caption, picture.frame["label"].nunique())
    return [Chart(name, views.VIEWS[picture.kind].title, caption, spec, STEP * len(order) + 90)]


def _beside(picture: Picture, name: str, labels: Sequence[str]) -> list[Chart]:
    """A line per superclass, a mark with its interval for the method and one for the reference."""
    frame = picture.frame
    if frame.empty:
        return []
    superclasses = list(dict.fromkeys(frame["superclass"]))
    x = _number(picture.x, _reach(frame, ["mean"], ["low", "high"], picture.x))
    shift = {"yOffset": {"field": "label", "type": "nominal", "sort": list(labels)}} if len(labels) > 1 else {}
    y = {
        "field": "superclass",
        "type": "nominal",
        "sort": superclasses,
        "title": None,
        "axis": {"grid": True, "tickBand": "extent"},
    }
    colour = {"field": "label", "type": "nominal", "title": None, "scale": {"domain": list(labels)}}
    shared = {"y": y, "color": colour, **shift}
    tip = _tips(
        {"label": "method", "superclass": "superclass", "mean": picture.x.title, "low": "95 % from", "high": "to"}
    )
    layers = [
        _layer("rule", {"x": {**x, "field": "low"}, "x2": {"field": "high"}, **shared}, strokeWidth=2, opacity=0.5)
        | KNOWN,
        _layer("point", {"x": {**x, "field": "mean"}, **shared, "tooltip": tip}, size=65, filled=True),
    ]
    says = f"{picture.x.title} of {len(superclasses)} superclasses: {' and '.join(labels)}."
    spec = _spec(frame.drop(columns=["slug"]), {"layer": layers, "height": 2 * STEP * len(superclasses)}, says)
    title = views.VIEWS[picture.kind].title
    return [Chart(name, title, picture.caption, spec, 2 * STEP * len(superclasses) + 90)]


def _ranks(picture: Picture) -> Chart:
    """Mean ranks with intervals; bars at the right join what Nemenyi's test cannot tell apart."""
    frame = _capped(picture.frame)
    order = list(frame["label"])
    far = float(np.nanmax(frame[["mean_rank", "high"]].to_numpy(np.float64)))
    y, x = (
        _lines(order),
        {"type": "quantitative", "title": picture.x.title, "axis": {"tickMinStep": 1, "tickCount": TICKS}},
    )
    tip = _tips({"label": "method", "mean_rank": "mean rank", "low": "95 % from", "high": "to"})
    bars = _clique_bars(picture.details, frame, far)
    layers = [
        _layer(
            "rule",
            {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y},
            strokeWidth=2,
            opacity=0.55,
            color=_expr("plain"),
        ),
        _layer(
            "point",
            {"x": {**x, "field": "mean_rank"}, "y": y, "tooltip": tip},
            size=75,
            filled=True,
            opacity=1,
            color=_expr("plain"),
        ),
        _layer(
            "rule",
            {"x": {**x, "field": "at"}, "y": {**y, "field": "top"}, "y2": {"field": "bottom"}},
            strokeWidth=5,
            strokeCap="round",
            color=_expr("tied"),
        )
        | {"data": _data(bars)},
    ]
    says = f"Mean ranks of {len(order)} methods, best first: {order[0]}, {frame['mean_rank'].iloc[0]:.2f}."
    spec = _spec(
        frame.drop(columns=["slug"]), {"layer": layers if len(bars) else layers[:2], "height": STEP * len(order)}, says
    )
    return Chart("ranks", views.VIEWS["ranks"].title, picture.caption, spec, STEP * len(order) + 90, "wide")


def _clique_bars(cliques: pd.DataFrame, frame: pd.DataFrame, far: float) -> pd.DataFrame:
    """From which method to which, and where, each bar to the right of the ones before."""
    step = 0.03 * max(far - 1, 1)
    bars: list[Spec] = []
    for first, last in zip(cliques["first"], cliques["last"], strict=True) if len(cliques) else ():
        own = frame[frame["mean_rank"].between(first, last)]
        if len(own) > 1:
            bars.append(
                {"top": own["label"].iloc[0], "bottom": own["label"].iloc[-1], "at": far + (len(bars) + 1.5) * step}
            )
    return pd.DataFrame(bars)


def _features(picture: Picture, name: str, kind: str) -> Chart:
    """Images as points, coloured by one of their labels."""
    classes = sorted(picture.frame[kind].unique())
    scheme = {} if len(classes) <= len(COLOURS) else {"scheme": "tableau20"}
    legend = {} if len(classes) <= MAX_KEYS else {"legend": None}
    colour = {"field": kind, "type": "nominal", "title": None, "scale": {"domain": classes, **scheme}, **legend}
    axes = {
        way: {
            "field": way,
            "type": "quantitative",
            "title": axis.title,
            "scale": {"zero": False},
            "axis": {"grid": False, "labels": False, "ticks": False},
        }
        for way, axis in (("x", picture.x), ("y", picture.y))
    }
    tip = _tips({one: one for one in ("coarse", "fine") if picture.frame[one].astype(bool).any()})
    layer = _layer("point", {**axes, "color": colour, "tooltip": tip}, size=14, filled=True, opacity=0.7)
    says = f"Test images of {picture.title} in two dimensions, coloured by {len(classes)} {kind} classes."
    spec = _spec(picture.frame, {**layer, "params": [ZOOM], "height": HEIGHT}, says)
    spec["usermeta"] = {"canvas": True}
    caption = f"{picture.title}. {picture.caption}"
    return Chart(name, f"Features, coloured by {kind} label", caption, spec)


def _spec(frame: pd.DataFrame, body: Spec, description: str) -> Spec:
    """A whole specification over a frame; the page gives COLOURS the theme's values."""
    colours = [{"name": name, "value": value} for name, value in COLOURS.items()]
    params = [*colours, *body.get("params", ())]
    shared = {"$schema": SCHEMA, "description": description, "data": _data(frame), "width": "container"}
    return {**shared, **body, "params": params}


def _layer(mark: str, encoding: Spec, **looks: object) -> Spec:
    return {"mark": {"type": mark, "clip": mark in ("rule", "area"), **looks}, "encoding": encoding}


def _data(frame: pd.DataFrame) -> Spec:
    """Rows as plain JSON, rounded to what can be seen; undefined is null."""
    names = [str(name) for name in frame]
    columns = [_column(values) for _, values in frame.items()]
    return {"values": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]}


def _column(values: pd.Series) -> list[Any]:
    if values.dtype.kind in "biu":
        return values.tolist()
    plain = _plain if values.dtype.kind == "f" else str
    return [plain(value) for value in values.tolist()]


def _plain(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _number(axis: Axis, domain: tuple[float, float]) -> Spec:
    """A quantitative channel without its field."""
    scale: Spec = {"type": "log"} if axis.log else {"domain": list(domain), "zero": False, "nice": False}
    return {"type": "quantitative", "title": axis.title, "scale": scale, "axis": {"tickCount": TICKS}}


def _lines(order: Sequence[str]) -> Spec:
    """A line for each method, in this order."""
    axis = {"labelLimit": 190, "grid": True, "gridOpacity": 0.5, "domain": False, "ticks": False, "labelPadding": 8}
    return {"field": "label", "type": "nominal", "scale": {"domain": list(order)}, "title": None, "axis": axis}


def _tips(titles: Mapping[str, str]) -> list[Spec]:
    """What is said of the mark under the pointer: fields and their titles."""
    words = ("label", "family", "superclass", "coarse", "fine")
    numeric = {"type": "quantitative", "format": ".4~g"}
    return [
        {"field": field, "title": title, **({"type": "nominal"} if field in words else numeric)}
        for field, title in titles.items()
    ]


def _expr(name: str) -> Spec:
    return {"expr": name}


def _state(below: str) -> Spec:
    """Colour by what can be said of a method's place; `below`: the colour of those below the best."""
    domain, colours = [TIED, BELOW, FEW], [_expr("tied"), _expr(below), _expr(below if below == "paper" else "few")]
    return {"field": "state", "type": "nominal", "title": None, "scale": {"domain": domain, "range": colours}}


def _nominal(field: str, domain: Sequence[str], **more: object) -> Spec:
    return {"field": field, "type": "nominal", "title": None, "scale": {"domain": list(domain)}, **more}


def _with_state(frame: pd.DataFrame) -> pd.DataFrame:
    states = np.where(frame["tied"], TIED, np.where(frame["separable"], BELOW, FEW))
    return frame.drop(columns=["slug"]).assign(state=states)


def _guide(value: float) -> list[Spec]:
    """A line at a value to hold others against."""
    if not math.isfinite(value):
        return []
    mark = _layer("rule", {"x": {"datum": _plain(value)}}, strokeDash=[4, 3], color=_expr("muted"))
    return [mark | {"data": {"values": [{}]}}]


def _label(at: Spec, place: int) -> Spec:
    """Names of the marks that have room at one of PLACES; none on a narrow screen."""
    dx, dy, align = PLACES[place]
    looks = {
        "dx": dx,
        "dy": dy,
        "align": align,
        "baseline": "middle",
        "fontSize": 11,
        "color": _expr("muted"),
        "clip": False,
    }
    layer = _layer("text", {**at, "text": {"field": "label"}}, **looks)
    layer["mark"]["opacity"] = _expr("width < 400 ? 0 : 1")
    return layer | {"transform": [{"filter": f"datum.place === {place}"}]}


def _places(frame: pd.DataFrame, x: Spec, y: Spec, reference: str) -> list[int]:
    """For every mark the number of the place of its name, -1 where every place is taken; the reference first."""
    marks = np.stack([_pixels(frame["x"], x, PLOT[0]), PLOT[1] - _pixels(frame["y"], y, PLOT[1])], axis=1)
    names, tied = frame["label"].tolist(), frame["tied"].tolist()
    order = sorted(range(len(names)), key=lambda i: (names[i] != reference, not tied[i], i))
    tried = np.array(order[:MAX_NAMES])
    boxes, free = _name_boxes(marks, [names[i] for i in tried], tried)
    taken, places = np.empty((0, 4)), [-1] * len(names)
    for i, own, possible in zip(tried, boxes, free, strict=True):
        if possible.any() and (possible := possible & ~_meet(own, taken)).any():
            places[i] = int(np.argmax(possible))
            taken = np.concatenate([taken, own[[places[i]]]])
    return places


def _name_boxes(marks: Floats, names: Sequence[str], of: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    """Where names can stand, (names, PLACES, 4), and whether they are in the plot and on nobody else's mark there."""
    widths = np.array([LETTER[0] * len(name) for name in names])
    dx, dy = (np.array([place[i] for place in PLACES], np.float64) for i in (0, 1))
    side = np.array([SIDE[align] for _, _, align in PLACES])
    shifts = np.stack([dx + side * widths[:, None] / 2, np.broadcast_to(dy, (len(names), len(PLACES)))], axis=2)
    centres = (marks[of][:, None] + shifts).reshape(-1, 2)
    boxes = _boxes(centres, np.repeat(widths, len(PLACES)), LETTER[1])
    inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < PLOT).all(axis=1)
    dots = _boxes(marks, np.full(len(marks), 9.0), 9)
    overlap = _overlap(boxes, dots).reshape(len(names), len(PLACES), -1)
    overlap[np.arange(len(of)), :, of] = False  # its own mark
    return boxes.reshape(len(names), -1, 4), inside.reshape(len(names), -1) & ~overlap.any(axis=2)


def _pixels(values: pd.Series, channel: Spec, length: float) -> Floats:
    numbers = values.to_numpy(np.float64)
    if channel["scale"].get("type") == "log":
        numbers = np.log(numbers)
        low, high = numbers.min(), numbers.max()
    else:
        low, high = channel["scale"]["domain"]
    place: Floats = (numbers - low) / max(high - low, 1e-12) * length
    return place


def _boxes(centres: Floats, widths: Floats, height: float) -> Floats:
    """(n, 2), (n,) -> (n, 4): left, top, right, bottom."""
    half = np.stack([widths / 2, np.full(len(widths), height / 2)], axis=1)
    return np.concatenate([centres - half, centres + half], axis=1)


def _meet(boxes: Floats, others: Floats) -> NDArray[np.bool_]:
    """(n, 4), (m, 4) -> (n,) whether a box overlaps any of the others."""
    return np.asarray(_overlap(boxes, others).any(axis=1))


def _overlap(boxes: Floats, others: Floats) -> NDArray[np.bool_]:
    """(n, 4), (m, 4) -> (n, m)."""
    one, other = boxes[:, None], others[None]
    meet = (one[..., 2:] > other[..., :2]) & (other[..., 2:] > one[..., :2])  # by direction
    return np.asarray(meet[..., 0] & meet[..., 1])


def _reach(
    frame: pd.DataFrame, means: Sequence[str], ends: Sequence[str], axis: Axis, room: float = 1.0
) -> tuple[float, float]:
    """Ends of an axis: all means, and intervals that reach no further than `room` times the means' range beyond them.

    Longer ones are cut, and so is what is beyond 0 and 100 per cent.
    """
    middle = frame[list(means)].to_numpy(np.float64)
    low, high = float(np.nanmin(middle)), float(np.nanmax(middle))
    span = max(high - low, 1e-3 * abs(high), 1e-9)
    spread = frame[list(ends)].to_numpy(np.float64)
    known = spread[np.isfinite(spread)]
    start = max(min(low, known.min()), low - room * span) if len(known) else low
    end = min(max(high, known.max()), high + room * span) if len(known) else high
    margin = 0.05 * (end - start)
    start, end = start - margin, end + margin
    if axis.column and in_per_cent(axis.column):
        start, end = max(start, min(0, low)), min(end, max(100, high))
    return float(f"{start:.{DIGITS}g}"), float(f"{end:.{DIGITS}g}")


def _capped(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:MAX_LINES]


def _cap_note(caption: str, methods: int) -> str:
    return f"{caption} The best {MAX_LINES} of {methods} methods." if methods > MAX_LINES else caption


def _with_reference(board: Board, labels: Iterable[str]) -> list[str]:
    """Labels, and the reference's behind them if it is not there."""
    return list(dict.fromkeys(filter(None, (*labels, board.reference))))


def _only(picture: Picture, parts: Mapping[str, pd.DataFrame], labels: Sequence[str]) -> Picture:
    frames = [parts[label] for label in labels if label in parts]
    frame = pd.concat(frames, ignore_index=True) if frames else picture.frame.iloc[:0]
    return replace(picture, frame=frame, notes=())
