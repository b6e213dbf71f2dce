"""Specifications of charts: valid Vega-Lite of the version that is shipped, with the figures of the board."""

import altair
import numpy as np
import pandas as pd
import pytest
import vl_convert
from leaderboards import built, names, rows
from toy_boards import METHODS

from benchmark.report import charts, leaderboard, table, views

FAMILIES = {"baseline": "control", "mixup": "input mixing"}


@pytest.fixture(scope="module")
def board():
    """Of published rows."""
    return leaderboard.build(leaderboard.read([METHODS])).boards[0]


@pytest.fixture(scope="module")
def long(board):
    folders = [METHODS]
    return charts.details(board, views.scores(folders, ["margin_mean", board.metric]), views.history(folders))


def drawn(found):
    return {chart.id.removeprefix("digits-halves-resnet18-thin-quickstart-"): chart.spec for chart in found}


def layers(spec):
    return spec.get("layer", [spec])


def marks(spec):
    return [layer["mark"]["type"] for layer in layers(spec)]


def check(spec):
    """Against Vega-Lite's JSON schema."""
    altair.TopLevelSpec.from_dict(spec, validate=True)


def test_the_shipped_library_is_of_the_schema_that_charts_are_checked_with():
    major = charts.SCHEMA.rsplit("/", 1)[1].removesuffix(".json")
    assert altair.SCHEMA_VERSION.startswith(f"{major}.")
    assert f"v{vl_convert.get_vegalite_versions()[-1]}".startswith(f"{major}.")


def test_every_chart_of_a_board_is_valid(board, long):
    found = drawn(charts.of_board(board, long, FAMILIES))
    kinds = {"accuracy", "tradeoff", "plane", "collapse", "cost", "margins", "superclasses"}
    assert set(found) == kinds | {"train_acc", "val_acc", "loss"}
    for spec in found.values():
        check(spec)
        assert spec["description"]


def test_every_chart_of_a_method_is_valid(board, long):
    found = drawn(charts.of_method(board, "mixup", long))
    assert set(found) == {"margins", "superclasses", "train_acc", "val_acc", "loss"}
    for spec in found.values():
        check(spec)
        assert {row["label"] for row in spec["data"]["values"]} == {"mixup", "baseline"}


def test_ranks_over_boards_are_valid():
    found = built(rows(names(5), task="a", seeds=4), rows(names(5), task="b", seeds=4))
    ranks, *others = charts.of_leaderboard(found, FAMILIES)
    assert ranks.id == "ranks" and len(others) == 2
    check(ranks.spec)


def test_means_and_intervals_are_those_of_the_board(board):
    spec = drawn(charts.of_leaderboard(leaderboard_of(board), FAMILIES))["accuracy"]
    lines = board.lines.set_index("label")
    assert [row["label"] for row in spec["data"]["values"]] == list(board.lines["label"])
    for row in spec["data"]["values"]:
        line = lines.loc[row["label"]]
        for name, column in (("mean", ""), ("low", "_low"), ("high", "_high")):
            assert row[name] == pytest.approx(100 * line[board.metric + column], rel=1e-4)
        assert row["tied"] == line["tied"]


def leaderboard_of(board):
    return leaderboard.Leaderboard((board,), None, board.cells.head(0), "0" * 16, (), "0")


def test_axes_hold_every_mean_and_no_more_than_per_cent(board):
    for name in ("tradeoff", "accuracy"):
        spec = drawn(charts.of_leaderboard(leaderboard_of(board), FAMILIES))[name]
        for layer in layers(spec):
            for way in ("x", "y"):
                channel = layer["encoding"].get(way, {})
                if channel.get("type") == "quantitative":
                    low, high = channel["scale"]["domain"]
                    assert 0 <= low < high <= 100


def test_marks_with_room_have_names_in_one_layer_for_each_side(board):
    spec = drawn(charts.of_leaderboard(leaderboard_of(board), FAMILIES))["tradeoff"]
    places = [row["place"] for row in spec["data"]["values"] if row["place"] >= 0]
    assert len(places) >= 5
    assert marks(spec).count("text") == len(set(places))


def test_names_lie_beside_their_mark_where_it_is_alone_and_once_where_marks_coincide():
    x = y = {"scale": {"domain": [0.0, 1.0]}}
    apart = pd.DataFrame({"label": ["a", "b"], "tied": False, "x": [0.2, 0.8], "y": [0.5, 0.5]})
    assert charts._places(apart, x, y, "a") == [0, 0]
    edge = apart.assign(x=[0.2, 1.0])  # no room at the right: at the left
    assert charts._places(edge, x, y, "a") == [0, 1]
    crowd = pd.DataFrame({"label": ["name"] * 9, "tied": False, "x": 0.5 + np.arange(9) / 1e4, "y": 0.5})
    used = [place for place in charts._places(crowd, x, y, "") if place >= 0]
    assert len(used) == len(set(used)) <= len(charts.PLACES)  # each side of one and the same spot once


def test_names_never_overlap_where_many_marks_coincide():
    frame = rows(names(60), sd=0.0001)
    board = built(frame.assign(fine_linear_acc=0.5 + frame["seed"] / 100)).boards[0]
    spec = drawn(charts.of_leaderboard(leaderboard_of(board), FAMILIES))["toy-net-quick-tradeoff"]
    check(spec)
    assert sum(row["place"] >= 0 for row in spec["data"]["values"]) <= 60


def test_curves_are_thinned_and_keep_their_ends(board):
    history = views.history([METHODS])
    long_history = history.loc[history.index.repeat(300)]
    long_history = long_history.assign(epoch=long_history.groupby("key").cumcount())
    long = charts.details(board, views.scores([], []), long_history)
    spec = drawn(charts.of_method(board, "mixup", long))["val_acc"]
    epochs = sorted({row["epoch"] for row in spec["data"]["values"]})
    assert len(epochs) == charts.MAX_EPOCHS and epochs[0] == 1 and epochs[-1] == long_history["epoch"].max() + 1


def test_hundreds_of_methods_are_capped_and_the_caption_says_so():
    found = charts.of_leaderboard(built(rows(names(100))), FAMILIES)
    accuracy = next(chart for chart in found if chart.id.endswith("accuracy"))
    assert len(accuracy.spec["data"]["values"]) == charts.MAX_LINES
    assert f"The best {charts.MAX_LINES} of 100 methods." in accuracy.caption


def test_colours_are_parameters_that_a_theme_can_set(board, long):
    for chart in charts.of_board(board, long, FAMILIES):
        names_of = {parameter["name"] for parameter in chart.spec["params"]}
        assert set(charts.COLOURS) <= names_of
        assert "transparent" not in str(chart.spec)


def test_costs_are_drawn_of_rows_that_do_not_name_their_machine():
    board = built(rows(names(3)).assign(precision=None, device_name=None)).boards[0]
    assert "cpu, unknown, 1, unknown" in views.cost(board).caption
    assert "toy-net-quick-cost" in drawn(charts.of_leaderboard(leaderboard_of(board), FAMILIES))


def test_a_column_in_per_cent_is_told_by_its_name():
    assert table.in_per_cent("fine_linear_acc") and not table.in_per_cent("uniformity")
