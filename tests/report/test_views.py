"""What pictures show: values as elsewhere computed, units, order, what is left out and said, tables read in parts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.stats.api as sms
from safetensors.numpy import save_file
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from toy_boards import METHODS, board, overall, published, rows

from benchmark.errors import InputError
from benchmark.report import leaderboard, views
from benchmark.schema import Measures, cell_columns


@pytest.fixture(scope="module")
def methods():
    return published()


def long_scores(keys=("k0-0", "k1-0"), metric="margin_mean", values=(2.0, 1.0)):
    """Two superclasses of each cell, and what is not about a superclass on test."""
    shared = {"metric": metric, "split": "test", "layer": "", "low": "", "seed": 0}
    lines = []
    for key in keys:
        lines += [shared | {"key": key, "superclass": f"s{i}", "value": value} for i, value in enumerate(values)]
        others = ({"superclass": ""}, {"superclass": "(worst)"}, {"split": "train"}, {"layer": "stage 1"})
        lines += [shared | {"key": key, "superclass": "s0", "value": 9} | other for other in others]
    return pd.DataFrame([*lines, *({**line, "metric": "rankme"} for line in lines)])


def long_history(keys=("k0-0", "k0-1", "k1-0"), epochs=2):
    lines = [
        {"key": key, "epoch": epoch, "train_acc": 0.5, "val_acc": 0.1 * (i + epoch), "loss": 3.0 - i, "lam": 0.5}
        for i, key in enumerate(keys)
        for epoch in range(epochs)
    ]
    return pd.DataFrame(lines)


def saved(folder, scores=None, history=None):
    folder.mkdir(exist_ok=True)
    for name, frame in (("scores", scores), ("history", history)):
        if frame is not None:
            frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_means_and_intervals_of_published_rows_are_statsmodels(methods):
    picture = views.accuracy(methods)
    of_method = methods.cells.groupby("method")["fine_linear_acc"]
    for line in picture.frame.to_dict("records"):
        values = of_method.get_group(line["label"]) * 100
        low, high = sms.DescrStatsW(values).tconfint_mean()
        assert (line["mean"], line["low"], line["high"]) == pytest.approx((values.mean(), low, high))
    assert picture.guide == pytest.approx(of_method.mean()["baseline"] * 100)
    assert picture.x.title == "fine accuracy, linear probe (%)"


def test_every_frame_has_its_columns_in_the_boards_order(methods):
    folders = [METHODS]
    scores, history = views.scores(folders, ["margin_mean", "fine_linear_acc"]), views.history(folders)
    pictures = {
        views.ACCURACY: [views.accuracy(methods)],
        views.PAIR: [of(methods) for of in (views.tradeoff, views.plane, views.collapse, views.cost)],
        views.CURVES: [views.curves(methods, history)],
        views.BY_SUPERCLASS: [of(methods, scores) for of in (views.margins, views.superclasses)],
    }
    for columns, own in pictures.items():
        for picture in own:
            assert tuple(picture.frame.columns) == columns and picture.title == methods.title
            assert list(dict.fromkeys(picture.frame["label"])) == list(methods.lines["label"])
            assert picture.caption.startswith(views.VIEWS[picture.kind].caption)


def test_pairs_show_both_columns_seed_by_seed(methods):
    picture = views.tradeoff(methods)
    line = picture.frame.set_index("label").loc["cutmix"]
    own = methods.cells[methods.cells["method"] == "cutmix"]
    assert (line["x"], line["y"]) == pytest.approx(tuple(own[["coarse_acc", "fine_linear_acc"]].mean() * 100))
    shown = picture.details[picture.details["label"] == "cutmix"]
    assert list(shown["x"]) == pytest.approx(list(own.sort_values("seed")["coarse_acc"] * 100))
    plane = views.plane(methods, "alignment_coarse")
    assert (plane.x.column, plane.y.column) == ("uniformity", "alignment_coarse")
    mean = own["alignment_coarse"].mean()
    assert plane.frame.set_index("label").loc["cutmix", "y"] == pytest.approx(mean)  # no share: as it is


def test_what_cannot_be_drawn_is_named():
    cells = rows()
    cells.loc[cells["method"] == "m1", "nc1_fine"] = np.inf
    cells.loc[cells["method"] == "m2", "nc1_fine"] = 0.01
    cells.loc[cells["method"] == "m3", "nc1_fine"] = 5.0
    cells.loc[cells["key"].isin(["k3-1", "k3-2"]), "status"] = "failed"
    cells.loc[cells["method"] == "baseline", "nc1_fine"] = np.nan
    picture = views.collapse(board(cells), "nc1_fine")
    assert list(picture.frame["label"]) == ["m2", "m3"]
    assert any("m1" in note and "baseline" in note for note in picture.notes)
    assert picture.x.log and not picture.y.log  # 0.01 to 5
    single = picture.frame.iloc[1]
    assert single["n"] == 1 and np.isnan(single["y_low"]) and not np.isnan(single["y"])


def test_methods_without_a_finished_seed_are_noted():
    cells = rows()
    cells.loc[cells["method"] == "m3", "status"] = "failed"
    picture = views.accuracy(board(cells))
    assert "m3" not in set(picture.frame["label"]) and picture.notes == ("No finished seed of m3.",)


def test_an_excess_over_a_null_is_titled_and_explained():
    cells = rows().assign(subclass_separability_over_shuffled=0.5)
    picture = views.collapse(board(cells), "subclass_separability_over_shuffled")
    assert picture.x.title == "subclass separability, over shuffled"
    assert "between-fine-within-coarse" in picture.caption


def test_cost_is_in_baselines_of_the_same_machine():
    cells = rows()
    # Baseline 10 s, m1 15 s, m2 20 s; m3 elsewhere, and one cell of m2, which would be 4 times as long, too.
    cells.loc[cells["method"] == "m3", "device_name"] = "other"
    cells.loc[cells["key"] == "k2-0", ["num_threads", "pretrain_seconds"]] = [8, 40.0]
    picture = views.cost(board(cells))
    assert dict(zip(picture.frame["label"], picture.frame["x"], strict=True)) == {"m2": 2.0, "m1": 1.5, "baseline": 1.0}
    assert picture.guide == 1 and "m3" in picture.caption and "cpu, chip, 1, fp32" in picture.caption


def test_cost_without_a_baseline_is_nothing_and_says_so():
    picture = views.cost(board(rows().query("method != 'baseline'")))
    assert picture.frame.empty and "No finished cell of the baseline" in picture.caption


def test_curves_are_means_and_extremes_over_seeds(tmp_path):
    one = saved(tmp_path / "one", history=long_history())
    two = saved(tmp_path / "two", history=long_history(keys=("k0-0", "k2-0")))  # a cell in both counts once
    picture = views.curves(board(rows(methods=3)), views.history([one, two], ["val_acc", "loss"]))
    curves = picture.frame.set_index(["label", "quantity", "epoch"])
    # baseline: seeds 0 and 1 have 0.0 and 0.1 in the first epoch, 0.1 and 0.2 in the second.
    first = curves.loc[("baseline", "val_acc", 1)]
    assert tuple(first[["mean", "low", "high", "n"]]) == pytest.approx((5, 0, 10, 2))
    assert curves.loc[("baseline", "val_acc", 2), "mean"] == pytest.approx(15)
    assert curves.loc[("m1", "loss", 1), "mean"] == 1 and set(picture.frame["quantity"]) == {"val_acc", "loss"}


def test_figures_by_superclass_are_those_of_test_alone(tmp_path):
    folder = saved(tmp_path / "r", scores=long_scores())
    found = views.scores([folder, folder], ["margin_mean"])
    assert tuple(found.columns) == views.SCORES and len(found) == 4 and set(found["value"]) == {1.0, 2.0}
    picture = views.margins(board(rows()), found)
    assert list(picture.frame["superclass"]) == ["s1", "s0"] * 2  # the smaller first
    assert list(picture.frame["mean"]) == [1.0, 2.0] * 2
    assert picture.notes == ("Nothing by superclass of m3, m2.",)


def test_long_tables_read_in_parts_are_the_same(tmp_path, monkeypatch):
    folder = saved(tmp_path / "r", long_scores(), long_history())
    whole = views.scores([folder], ["margin_mean"]), views.history([folder])
    monkeypatch.setattr(views, "CHUNK", 3)
    for one, parts in zip(whole, (views.scores([folder], ["margin_mean"]), views.history([folder])), strict=True):
        pd.testing.assert_frame_equal(one, parts)


def test_published_figures_by_superclass_are_those_of_the_file(methods):
    picture = views.superclasses(methods, views.scores([METHODS], ["fine_linear_acc"]))
    file = pd.read_csv(METHODS / "scores.csv")
    own = file[(file["metric"] == "fine_linear_acc") & (file["superclass"] == "below_five") & (file["split"] == "test")]
    mean = own[own["method"] == "mixup"]["value"].mean() * 100
    line = picture.frame.query("label == 'mixup' and superclass == 'below_five'").iloc[0]
    assert line["mean"] == pytest.approx(mean) and line["n"] == 3


def test_long_tables_that_are_not_there_or_others_are_refused_in_a_line(tmp_path):
    with pytest.raises(InputError, match=r"scores\.csv: cannot be read"):
        views.scores([tmp_path], ["margin_mean"])
    folder = saved(tmp_path / "r", history=long_history())
    with pytest.raises(InputError, match="rankme"):
        views.history([folder], ["rankme"])


def test_ranks_and_their_groups():
    picture = views.ranks(overall())
    assert tuple(picture.frame.columns) == views.RANKS and picture.guide == 0.4
    assert picture.title == "4 methods on 3 boards"
    assert list(picture.details["labels"]) == ["m0, m1", "m1, m2", "m2, m3"]
    assert picture.details.loc[1, "first"] == pytest.approx(4 / 3) and "late: toy" in picture.caption


def kept(path, num_images=60, width=5):
    """Three fine classes far apart along the first direction."""
    rng = np.random.default_rng(0)
    labels = np.arange(num_images) % 3
    values = rng.normal(0, 1, (num_images, width)) + 20 * labels[:, None] * (np.arange(width) == 0)
    save_file({"features.test": values.astype(np.float32), "labels.test": labels}, path)
    return values.astype(np.float32), labels


def test_principal_components_are_scikit_learns(tmp_path):
    values, labels = kept(tmp_path / "f.safetensors")
    classes = [("a", "x"), ("a", "y"), ("b", "z")]
    picture = views.features(tmp_path / "f.safetensors", "cell", classes)
    expected = PCA(2).fit_transform(values.astype(np.float64))
    assert np.abs(picture.frame[["x", "y"]].to_numpy()) == pytest.approx(np.abs(expected), abs=1e-6)
    assert list(picture.frame["fine"]) == [classes[i][1] for i in labels]
    assert list(picture.frame["coarse"]) == [classes[i][0] for i in labels]
    pd.testing.assert_frame_equal(picture.frame, views.features(tmp_path / "f.safetensors", "cell", classes).frame)


def test_t_sne_keeps_neighbours_and_is_the_same_again(tmp_path):
    _, labels = kept(tmp_path / "f.safetensors")
    one, two = (views.features(tmp_path / "f.safetensors", "cell", (), "tsne").frame for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    near = NearestNeighbors(n_neighbors=2).fit(one[["x", "y"]]).kneighbors(return_distance=False)
    assert (labels[near] == labels[:, None]).mean() > 0.95
    assert one["fine"][4] == "class 1" and set(one["coarse"]) == {""}


def test_many_features_are_thinned_and_said(tmp_path):
    kept(tmp_path / "f.safetensors", num_images=2_500, width=3)
    picture = views.features(tmp_path / "f.safetensors", "cell")
    assert len(picture.frame) == views.MAX_POINTS and picture.notes == ("2,000 of 2,500 test images.",)


def test_features_that_are_none_are_refused_in_a_line(tmp_path):
    path = tmp_path / "f.safetensors"
    with pytest.raises(InputError, match="no file of kept features"):
        views.features(path, "cell")
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="no file of kept features"):
        views.features(path, "cell")
    kept(path)
    with pytest.raises(InputError, match="fine class 2 of 2"):
        views.features(path, "cell", [("a", "x"), ("a", "y")])
    values, labels = kept(path)
    save_file({"features.test": values * np.nan, "labels.test": labels}, path)
    with pytest.raises(InputError, match="do not fit"):
        views.features(path, "cell")


def found_of(*frames, folder):
    return leaderboard.build(pd.concat(frames, ignore_index=True).assign(folder=str(folder)))


def test_pictures_of_every_board_show_some_methods_as_among_all(tmp_path):
    longer = rows().assign(recipe="longer", key=lambda own: "l" + own["key"])
    found = found_of(rows(), longer, folder=saved(tmp_path / "r", long_scores(), long_history()))
    both = views.pictures("cost", found, ["m2"])
    assert sorted(both) == sorted(board.slug for board in found.boards) and len(both) == 2
    picture = next(iter(both.values()))
    assert list(picture.frame["label"]) == ["m2"] and set(picture.details["label"]) == {"m2"}
    assert list(picture.frame["x"]) == [2.0]  # of a baseline that is not shown
    assert picture.labels == ("m2",) and views.cost(found.boards[0]).labels == ("baseline", "m1", "m2", "m3")
    drawn = {kind: views.pictures(kind, found) for kind in views.VIEWS if kind not in ("ranks", "features")}
    assert all(of_kind[found.boards[0].slug].kind == kind for kind, of_kind in drawn.items())
    assert views.pictures("collapse", found, (), "rankme")[found.boards[0].slug].x.column == "rankme"
    assert list(views.pictures("ranks", found)) == ["overall"]


def test_kinds_columns_and_methods_that_are_none_are_refused_in_a_line(tmp_path):
    found = found_of(rows(), folder=tmp_path)
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        views.pictures("acuracy", found)
    with pytest.raises(InputError, match="goes with collapse and plane alone"):
        views.pictures("cost", found, (), "rankme")
    with pytest.raises(InputError, match="did you mean 'alignment_fine'"):
        views.pictures("plane", found, (), "alignment_fin")
    with pytest.raises(InputError, match="unknown method 'm9'"):
        views.pictures("cost", found, ["m9"])
    with pytest.raises(InputError, match="ranks need two boards"):
        views.pictures("ranks", found)
    with pytest.raises(InputError, match="unknown task 'digits'; did you mean 'digits-halves'"):
        views.of_task(rows(), "digits")
    assert len(views.of_task(rows(), "digits-halves")) == len(views.of_task(rows(), "")) == 12


def test_methods_are_named_by_their_labels_too(tmp_path):
    two = [rows(2).assign(method_params=f'{{"beta": {beta}}}') for beta in (3.0, 10.0)]
    found = found_of(two[0], two[1].assign(key=lambda own: "x" + own["key"]), folder=tmp_path)
    assert views.labels_of(found.boards, ["m1 (beta=3.0)"]) == {"m1 (beta=3.0)"}
    assert views.labels_of(found.boards, ["m1"]) == {"m1 (beta=3.0)", "m1 (beta=10.0)"}


def test_kept_features_of_a_seed_are_shown_by_method(tmp_path, monkeypatch):
    kept(tmp_path / "f.safetensors")
    found = found_of(rows(), folder=tmp_path)
    files = {key: tmp_path / "f.safetensors" for key in ("k0-0", "k1-0", "k1-1")}
    monkeypatch.setattr(
        views, "kept_features", lambda cells: {k: f for k, f in files.items() if k in set(cells["key"])}
    )
    classes = {"digits-halves": [("a", "x"), ("a", "y"), ("b", "z")]}
    drawn = views.embedded(found, classes)
    slug = found.boards[0].slug
    assert list(drawn) == [f"{slug}-m1", f"{slug}-baseline"]
    assert drawn[f"{slug}-m1"].title.endswith("m1, seed 0") and set(drawn[f"{slug}-m1"].frame["coarse"]) == {"a", "b"}
    with pytest.raises(InputError, match="no kept features of seed 2"):
        views.embedded(found, classes, seed=2)
    with pytest.raises(InputError, match="unknown projection 'umap'"):
        views.embedded(found, classes, method="umap")


@pytest.mark.parametrize("method", ["baseline", "am_mixup"])
@pytest.mark.parametrize("measures", [Measures(), Measures(track=2, layers=True)])
@pytest.mark.parametrize("plugin", ["", "0123456789abcdef"])
@pytest.mark.parametrize("compiled", [False, True])
def test_kept_features_are_found_by_what_the_row_says(tmp_path, toy_cell, method, measures, plugin, compiled):
    cell = replace(toy_cell(method, seed=3), measures=measures, method_digest=plugin)
    cell = replace(cell, recipe=replace(cell.recipe, compile=compiled))
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / f"{cell.features_key}.safetensors").touch()
    line = cell_columns(cell) | {"features_digest": "f00", "folder": str(tmp_path)}
    pd.DataFrame([line, line | {"seed": 4, "key": "gone"}]).to_csv(tmp_path / "rows.csv", index=False)
    text = {name: str for name in ("hierarchy_digest", "data_digest", "method_digest")}
    frame = pd.read_csv(tmp_path / "rows.csv", dtype=text, keep_default_na=False, na_values=[""])
    expected = {cell.key: tmp_path / "features" / f"{cell.features_key}.safetensors"}
    assert views.kept_features(frame) == expected
    assert views.kept_features(frame.assign(features_digest=np.nan)) == {}
