"""Pictures as files: every kind and size is drawn, the same again; names keep apart and stay text; refusals."""

import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from matplotlib.text import Text
from safetensors.numpy import save_file
from toy_boards import METHODS, board, overall, published, rows

from benchmark import cli
from benchmark.errors import InputError
from benchmark.report import drawing, plots, views

COLUMN = plots.inches("column")


def tables(own):
    """Long tables of some cells: three epochs, four superclasses."""
    keys = own.cells["key"]
    history = pd.DataFrame([(key, epoch, 0.5, 0.1 * epoch, 1.0) for key in keys for epoch in range(3)])
    lines = [(key, metric, f"s{i}", i / 5) for key in keys for metric in ("margin_mean", own.metric) for i in range(4)]
    history.columns, scores = [*views.HISTORY, *views.QUANTITIES], pd.DataFrame(lines, columns=list(views.SCORES))
    return history, scores


def pictures(own, methods):
    history, scores = tables(own)
    for of in (views.accuracy, views.tradeoff, views.plane, views.collapse, views.cost):
        yield of(own)
    yield views.curves(own, history)
    yield views.margins(own, scores)
    yield views.superclasses(own, scores)
    yield views.ranks(overall(methods))


@pytest.mark.parametrize("methods", [1, 7, 13])
def test_every_kind_is_drawn_as_wide_as_asked(tmp_path, methods):
    own = board(rows(methods))
    for picture in pictures(own, methods):
        pixels = imread(plots.write(picture, tmp_path / f"{picture.kind}.png", COLUMN))
        assert pixels.shape[1] == pytest.approx(85 / 25.4 * 200, abs=1)
        assert 0.001 < (pixels[:, :, :3].min(axis=2) < 0.5).mean() < 0.7  # something is drawn, on white
        assert (pixels[:, [0, -1], :3] == 1).mean() > 0.98  # and nothing is cut at the sides


def drawn(picture):
    with mpl.rc_context(plots.STYLE):
        figure = plots.draw(picture, plots.inches("page"))
        figure.draw_without_rendering()
    return figure


def test_far_too_many_methods_are_drawn_with_the_names_of_some():
    names = {text.get_text() for text in drawn(views.tradeoff(board(rows(60)))).axes[0].texts}
    assert {"m59", "baseline", "m1"} <= names and plots.NAMED - 1 <= len(names) <= plots.NAMED


def test_the_same_rows_give_the_same_file(tmp_path):
    own = board(rows(7))
    for kind in drawing.FORMATS:
        one, two = (plots.write(views.cost(own), tmp_path / f"{i}.{kind}", COLUMN) for i in range(2))
        assert one.read_bytes() == two.read_bytes()


def test_names_keep_apart():
    own = published()
    shown = own.lines["label"].iloc[[0, 1, 2, 3, 5, 8, 12, 16, 20, 24, 28, 31]]
    for of in (views.tradeoff, views.collapse, views.cost):
        figure = drawn(views._showing(of(own), set(shown)))
        boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]  # without the leader
        assert len(boxes) == 12
        overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
        assert not overlaps


def test_a_method_looks_the_same_in_all_pictures():
    own = board(rows(5))
    turned = board(rows(5), metric="fine_knn_acc")
    assert list(own.lines["label"]) != list(turned.lines["label"])
    looks = [plots._looks(of(one)) for one in (own, turned) for of in (views.tradeoff, views.cost)]
    assert all(look == looks[0] for look in looks) and len(set(looks[0].values())) == 5


@pytest.mark.parametrize("name", ["$x_1^{", "<script>alert(1)</script> & %s", "x" * 300])
def test_names_stay_text(tmp_path, name):
    own = board(rows(3).replace({"method": {"m1": name}}))
    history, scores = tables(own)
    for picture in (views.tradeoff(own), views.superclasses(own, scores), views.curves(own, history)):
        file = plots.write(replace(picture, title=name), tmp_path / "p.svg", COLUMN)
        ElementTree.parse(file)
        assert "<script" not in file.read_text()


def test_files_say_what_they_show(tmp_path):
    picture = views.accuracy(board(rows()))
    svg = plots.write(picture, tmp_path / "p.svg", COLUMN).read_text()
    assert picture.caption[:40] in svg and f"Accuracy · {picture.title}" in svg
    assert b"Mean over seeds" in plots.write(picture, tmp_path / "p.png", COLUMN).read_bytes()
    assert plots.write(picture, tmp_path / "p.PDF", COLUMN).read_bytes().startswith(b"%PDF")


def test_features_are_drawn_by_superclass_and_class(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 12
    save_file(
        {"features.test": rng.normal(labels[:, None], 1, (300, 4)).astype(np.float32), "labels.test": labels},
        tmp_path / "f",
    )
    classes = [(f"super {i // 6}", f"class {i}") for i in range(12)]
    for named in (classes, ()):
        picture = views.features(tmp_path / "f", "cell", named)
        assert imread(plots.write(picture, tmp_path / "p.png", COLUMN)).std() > 0.05


def test_what_cannot_be_drawn_is_refused_in_a_line(tmp_path):
    nothing = views.cost(board(rows().query("method != 'baseline'")))
    with pytest.raises(InputError, match=r"nothing to draw\. No finished cell of the baseline"):
        plots.write(nothing, tmp_path / "p.png", COLUMN)
    picture = views.accuracy(board(rows()))
    with pytest.raises(InputError, match="end the name with one of these"):
        plots.write(picture, tmp_path / "p.jpg", COLUMN)
    with pytest.raises(InputError, match="cannot be written"):
        plots.write(picture, Path("/dev/null/p.png"), COLUMN)
    for width in ("3", "wide", "nan", "1e9"):
        with pytest.raises(InputError, match="expected column or page"):
            plots.inches(width)
    assert plots.inches("127") == 5


def test_several_boards_are_several_files_and_empty_ones_are_left_out(tmp_path):
    full, empty = views.accuracy(board(rows())), views.cost(board(rows().query("method != 'baseline'")))
    made = list(plots.write_all({"a": full, "b": full, "c": empty}, tmp_path / "p.svg", COLUMN))
    assert [path.name for path, _ in made] == ["p-a.svg", "p-b.svg"]
    assert [path.name for path, _ in plots.write_all({"a": full, "c": empty}, tmp_path / "p.svg", COLUMN)] == ["p.svg"]


def c2f(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["c2f", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ["accuracy", "curves", "superclasses"])
def test_the_command_draws_published_rows(monkeypatch, capsys, tmp_path, kind):
    out = tmp_path / "deep" / f"{kind}.pdf"
    code, told = c2f(monkeypatch, capsys, "plot", kind, METHODS, "--out", out, "--methods", "baseline,mixup")
    assert code == 0 and out.stat().st_size > 5_000
    assert views.VIEWS[kind].caption[:40] in told


def test_the_command_refuses_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["c2f", "plot", "pie", str(METHODS)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and "unknown kind of picture 'pie'" in error
