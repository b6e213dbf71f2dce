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

from benchmark.report import views
from benchmark.report.board import Board, Floats, Leaderboard
from benchmark.report.views import Axis, Picture

Spec = dict[str, Any]

VERSION = "6.1"  # of Vega-Lite
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, never fetched
COLOURS = {"tied": "#2c7a58", "plain": "#0072b2", "few": "#8a929a", "ink": "#1c2126", "muted": "#5c6670"}
FAMILIES = ("control", "image policy", "input mixing", "feature mixing", "contrastive", "unknown")
TIED, BELOW, FEW = "cannot be told from the best", "significantly below the best", "too few seeds to rank"
MAX_LINES = 60  # methods in a chart with a line for each
MAX_CURVES = 6  # beside the reference
MAX_EPOCHS = 100  # points of a curve
MAX_BOARDS = 12  # on the page of all boards
MAX_KEYS = 20  # classes that a legend names
DIGITS = 5  # significant, of what is drawn
STEP = 21  # height of a line, pixels
HEIGHT = 340  # of a plot, pixels
PLOT = (470.0, float(HEIGHT))  # width and height that labels are placed for
LETTER = (6.3, 13.0)  # width and height of one, pixels
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
ZOOM_HINT = "Drag to move, shift and wheel to zoom, double click to reset."


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
    """Pictures of training, margins and superclasses of a board, and their frames by label."""

    pictures: tuple[Picture, ...]
    parts: tuple[Mapping[str, pd.DataFrame], ...]

    def of(self, labels: Sequence[str]) -> list[Picture]:
        """The same of some methods alone, in this order."""
        return [_only(*each, labels) for each in zip(self.pictures, self.parts, strict=True)]


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
    pictures = (views.curves(board, history), views.margins(board, scores), views.superclasses(board, scores))
    parts = [{str(label): rows for label, rows in one.frame.groupby("label", sort=False)} for one in pictures]
    return Details(pictures, tuple(parts))


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
    for picture in long.pictures[1:]:
        found += _by_superclass(picture, f"{board.slug}-{picture.kind}")
    return found + _curves(long.of(labels)[0], board.slug, labels)


def of_method(board: Board, label: str, long: Details) -> list[Chart]:
    """A method beside the reference: every superclass, and training."""
    both = _with_reference(board, [label])
    curves, *by_superclass = long.of(both)
    found = [chart for one in by_superclass for chart in _beside(one, f"{board.slug}-{one.kind}", both)]
    return found + _curves(curves, board.slug, both)


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
    x = _number(picture.x, _reach(frame, ["mean"], ["low", "high"]))
    y = _lines(order)
    tip = [_tip("label", "method"), _tip("mean", picture.x.title), _tip("low", "95 % from"), _tip("high", "to")]
    layers = [
        *_guide(picture.guide),
        _layer("rule", {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": _state()}, strokeWidth=2)
        | {"transform": [{"filter": "isValid(datum.low)"}]},
        _layer("tick", {"x": {**x, "field": "value"}, "y": y}, thickness=1, size=9, opacity=0.6, color=_expr("muted"))
        | {"data": _data(seeds[["label", "value"]])},
        _layer(
            "point",
            {
                "x": {**x, "field": "mean"},
                "y": y,
                "color": _state(),
                "fill": _filled(),
                "tooltip": [*tip, _tip("n", "seeds", "d")],
            },
            size=75,
            strokeWidth=1.6,
        ),
    ]
    first = f"{order[0]}, {frame['mean'].iloc[0]:.1f}"
    says = f"{picture.x.title} of {len(order)} methods with intervals, best first: {first}."
    spec = _spec(_with_state(frame), {"layer": layers, "height": STEP * len(order)}, says)
    caption = _cap_note(picture.caption, len(picture.frame))
    return [Chart(name, title, caption, spec, STEP * len(order) + 90, "wide")]


def _scatters(board: Board, families: Mapping[str, str]) -> list[Chart]:
    found = []
    methods = board.lines.set_index("label")["method"]
    for picture in (views.tradeoff(board), views.plane(board), views.collapse(board), views.cost(board)):
        if len(picture.frame):
            family = [families.get(methods[label], "unknown") for label in picture.frame["label"]]
            found.append(
                _scatter(picture, f"{board.slug}-{picture.kind}", picture.frame.assign(family=family), board.reference)
            )
    return found


def _scatter(picture: Picture, name: str, frame: pd.DataFrame, reference: str) -> Chart:
    """Two columns against each other, a mark per method, names where there is room."""
    x = _number(picture.x, _reach(frame, ["x"], ["x_low", "x_high"]))
    y = _number(picture.y, _reach(frame, ["y"], ["y_low", "y_high"]))
    frame = frame.assign(**_placed(frame, x, y, reference))
    shown = [name for name in FAMILIES if name in set(frame["family"])]
    colour = {
        "field": "family",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(FAMILIES)},
        "legend": {"values": shown},
    }
    at = {"x": {**x, "field": "x"}, "y": {**y, "field": "y"}}
    tip = [
        _tip("label", "method"),
        _tip("family", "family"),
        _tip("x", picture.x.title),
        _tip("y", picture.y.title),
        _tip("n", "seeds", "d"),
    ]
    fill = {"condition": {"test": "datum.tied", "field": "family", "type": "nominal"}, "value": "transparent"}
    layers = [
        _layer(
            "rule",
            {"x": {**x, "field": "x_low"}, "x2": {"field": "x_high"}, "y": at["y"], "color": colour},
            opacity=0.25,
        ),
        _layer(
            "rule",
            {"y": {**y, "field": "y_low"}, "y2": {"field": "y_high"}, "x": at["x"], "color": colour},
            opacity=0.25,
        ),
        _layer("point", {**at, "color": colour, "fill": fill, "tooltip": tip}, size=75, strokeWidth=1.6)
        | {"params": [ZOOM]},
        *(_label(at, place) for place in range(len(PLACES)) if (frame["place"] == place).any()),
    ]
    says = f"{picture.y.title} against {picture.x.title}, a mark for each of {len(frame)} methods."
    spec = _spec(frame, {"layer": layers, "height": HEIGHT}, says)
    title = f"{views.VIEWS[picture.kind].title}"
    caption = f"{picture.caption} Filled: {TIED}. {ZOOM_HINT}"
    return Chart(name, title, caption, spec)


def _curves(picture: Picture, slug: str, labels: Sequence[str]) -> list[Chart]:
    """A chart for each quantity; lines of methods, and bands where there are two at most."""
    found = []
    for quantity, rows in picture.frame.groupby("quantity", sort=False):
        epochs = np.unique(rows["epoch"])
        kept = (
            epochs[np.unique(np.linspace(0, len(epochs) - 1, MAX_EPOCHS).round().astype(int))]
            if len(epochs)
            else epochs
        )
        frame = rows[rows["epoch"].isin(kept)].drop(columns=["slug", "quantity"])
        title = views.axis_title(str(quantity))
        x = {"field": "epoch", "type": "quantitative", "title": "epoch", "axis": {"tickMinStep": 1, "grid": False}}
        y = {"field": "mean", "type": "quantitative", "title": title, "scale": {"zero": False}}
        colour = {
            "field": "label",
            "type": "nominal",
            "title": None,
            "sort": None,
            "scale": {"domain": [one for one in labels if one in set(frame["label"])]},
        }
        faint = {"condition": {"param": "chosen", "value": 1}, "value": 0.15}
        tip = [
            _tip("label", "method"),
            _tip("epoch", "epoch", "d"),
            _tip("mean", title),
            _tip("low", "lowest seed"),
            _tip("high", "highest seed"),
        ]
        band = _layer(
            "area", {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour}, opacity=0.12
        )
        lines = _layer("line", {"x": x, "y": y, "color": colour, "opacity": faint, "tooltip": tip}, strokeWidth=1.8)
        lines["params"] = [{"name": "chosen", "select": {"type": "point", "fields": ["label"]}, "bind": "legend"}]
        spec = _spec(
            frame,
            {"layer": [band, lines] if len(labels) <= 2 else [lines], "height": 260},
            f"{title} by epoch of {', '.join(labels)}.",
        )
        which = (
            f" The best {MAX_CURVES} and the reference; a click on a name keeps it alone." if len(labels) > 2 else ""
        )
        found.append(Chart(f"{slug}-{quantity}", f"Training: {title}", picture.caption + which, spec, 350))
    return found


def _by_superclass(picture: Picture, name: str) -> list[Chart]:
    """A line per method, a mark per superclass."""
    order = list(dict.fromkeys(picture.frame["label"]))[:MAX_LINES]
    frame = picture.frame[picture.frame["label"].isin(order)]
    if frame.empty:
        return []
    superclasses = list(dict.fromkeys(frame["superclass"]))
    x = _number(picture.x, _reach(frame, ["mean"], []))
    y = _lines(order)
    legend = {"legend": {"symbolLimit": MAX_KEYS}} if len(superclasses) <= len(COLOURS) else {"legend": None}
    colour = {"field": "superclass", "type": "nominal", "title": "superclass", "sort": superclasses, **legend}
    tip = [
        _tip("label", "method"),
        _tip("superclass", "superclass"),
        _tip("mean", picture.x.title),
        _tip("n", "seeds", "d"),
    ]
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
    x = _number(picture.x, _reach(frame, ["mean"], ["low", "high"]))
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
    tip = [
        _tip("label", "method"),
        _tip("superclass", "superclass"),
        _tip("mean", picture.x.title),
        _tip("low", "95 % from"),
        _tip("high", "to"),
    ]
    layers = [
        _layer("rule", {"x": {**x, "field": "low"}, "x2": {"field": "high"}, **shared}, strokeWidth=2, opacity=0.5)
        | {"transform": [{"filter": "isValid(datum.low)"}]},
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
    y, x = _lines(order), {"type": "quantitative", "title": picture.x.title, "axis": {"tickMinStep": 1}}
    tip = [_tip("label", "method"), _tip("mean_rank", "mean rank"), _tip("low", "95 % from"), _tip("high", "to")]
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
    tip = [_tip(one, one) for one in ("coarse", "fine") if picture.frame[one].astype(bool).any()]
    layer = _layer("point", {**axes, "color": colour, "tooltip": tip}, size=14, filled=True, opacity=0.7)
    says = f"Test images of {picture.title} in two dimensions, coloured by {len(classes)} {kind} classes."
    spec = _spec(picture.frame, {**layer, "params": [ZOOM], "height": HEIGHT}, says)
    spec["usermeta"] = {"canvas": True}
    caption = f"{picture.title}. {picture.caption} {ZOOM_HINT}"
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
    records = frame.to_dict("records")
    return {"values": [{str(name): _plain(value) for name, value in row.items()} for row in records]}


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return str(value)


def _number(axis: Axis, domain: tuple[float, float]) -> Spec:
    """A quantitative channel without its field."""
    scale: Spec = {"type": "log"} if axis.log else {"domain": list(domain), "zero": False, "nice": False}
    return {"type": "quantitative", "title": axis.title, "scale": scale, "axis": {"tickCount": TICKS}}


def _lines(order: Sequence[str]) -> Spec:
    """A line for each method, in this order."""
    axis = {"labelLimit": 190, "grid": True, "gridOpacity": 0.5, "domain": False, "ticks": False, "labelPadding": 8}
    return {"field": "label", "type": "nominal", "scale": {"domain": list(order)}, "title": None, "axis": axis}


def _tip(field: str, title: str, format: str = ".4~g") -> Spec:
    number = field not in ("label", "family", "superclass", "coarse", "fine")
    kind: Spec = {"type": "quantitative", "format": format} if number else {"type": "nominal"}
    return {"field": field, "title": title, **kind}


def _expr(name: str) -> Spec:
    return {"expr": name}


def _state() -> Spec:
    """Colour by what can be said of a method's place."""
    domain, colours = [TIED, BELOW, FEW], [_expr("tied"), _expr("plain"), _expr("few")]
    filled = {"expr": f"datum.label === '{TIED}' ? tied : 'transparent'"}
    legend = {"symbolType": "circle", "symbolFillColor": filled}
    scale = {"domain": domain, "range": colours}
    return {"field": "state", "type": "nominal", "title": None, "scale": scale, "legend": legend}


def _filled() -> Spec:
    return {"condition": {"test": "datum.tied", "value": _expr("tied")}, "value": "transparent"}


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


def _placed(frame: pd.DataFrame, x: Spec, y: Spec, reference: str) -> dict[str, Any]:
    """For every mark the number of the place of its name, -1 where every place is taken; the reference first."""
    marks = np.stack([_pixels(frame["x"], x, PLOT[0]), PLOT[1] - _pixels(frame["y"], y, PLOT[1])], axis=1)
    taken = [_box(mark, 9, 9) for mark in marks]
    order = sorted(range(len(frame)), key=lambda i: (frame["label"].iloc[i] != reference, not frame["tied"].iloc[i], i))
    places = [-1] * len(frame)
    for i in order:
        width = LETTER[0] * len(str(frame["label"].iloc[i]))
        for place, (dx, dy, align) in enumerate(PLACES):
            shift = {"left": width / 2, "right": -width / 2, "center": 0}[align]
            box = _box(marks[i] + (dx + shift, dy), width, LETTER[1])
            inside = box[0] > 0 and box[1] > 0 and box[2] < PLOT[0] and box[3] < PLOT[1]
            others = [other for j, other in enumerate(taken) if j != i]
            if inside and not any(_meet(box, other) for other in others):
                places[i] = place
                taken.append(box)
                break
    return {"place": places}


def _pixels(values: pd.Series, channel: Spec, length: float) -> Floats:
    numbers = values.to_numpy(np.float64)
    if channel["scale"].get("type") == "log":
        numbers = np.log(numbers)
        low, high = numbers.min(), numbers.max()
    else:
        low, high = channel["scale"]["domain"]
    place: Floats = (numbers - low) / max(high - low, 1e-12) * length
    return place


def _box(centre: Floats, width: float, height: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    return centre[0] - width / 2, centre[1] - height / 2, centre[0] + width / 2, centre[1] + height / 2


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _reach(frame: pd.DataFrame, means: Sequence[str], ends: Sequence[str]) -> tuple[float, float]:
    """Ends of an axis: all means, and intervals where they are no longer than that again; longer ones are cut."""
    middle = frame[list(means)].to_numpy(np.float64)
    low, high = float(np.nanmin(middle)), float(np.nanmax(middle))
    room = max(high - low, 1e-3 * abs(high), 1e-9)
    spread = frame[list(ends)].to_numpy(np.float64)
    known = spread[np.isfinite(spread)]
    start = max(min(low, known.min()), low - room) if len(known) else low
    end = min(max(high, known.max()), high + room) if len(known) else high
    margin = 0.05 * (end - start)
    return float(f"{start - margin:.{DIGITS}g}"), float(f"{end + margin:.{DIGITS}g}")


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
