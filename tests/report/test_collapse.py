"""The collapse report: what is compared with what, statistics as elsewhere computed, files, figures, refusals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from scipy import stats

from benchmark import cli
from benchmark.errors import InputError
from benchmark.metrics import METRICS
from benchmark.report import collapse, collapse_figures

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
X, Y = "subclass_separability", "fine_linear_acc"


def rows(methods=8, seeds=3, name="toy", **changes):
    """Cells whose metric and read-out follow the method, a little."""
    rng = np.random.default_rng(0)
    made = []
    for method in range(methods):
        for seed in range(seeds):
            own = rng.normal(0, 1, 4) + method / 2
            scores = {X: own[0], "nc1_fine": -own[1], Y: own[2], "fine_knn_acc": own[3], "coarse_acc": rng.random()}
            cell = {name: "x" for name in collapse.GROUP} | {"task": name, "hierarchy_version": 1, "metric_version": 3}
            identity = {"key": f"{name}-{method}-{seed}", "method": f"m{method}", "method_params": "{}", "seed": seed}
            made.append(cell | identity | {"method_digest": "", "status": "ok"} | scores | changes)
    return made


def saved(folder, made):
    folder.mkdir(exist_ok=True)
    pd.DataFrame(made).to_csv(folder / "results.csv", index=False)
    return folder


def compared(frame, metrics=(), readouts=(), pairs=()):
    choice = collapse.choose(frame, metrics, readouts, pairs)
    return collapse.comparisons(frame, choice.metrics, choice.readouts)


def only(found):
    (single,) = found
    return single


def pair(one, metric=X, readout=Y):
    return only(one.pairs[(one.pairs["metric"] == metric) & (one.pairs["read_out"] == readout)].to_dict("records"))


def test_statistics_are_scipys_on_published_rows():
    frame = collapse.read([PUBLISHED / "methods"])
    found = pair(only(compared(frame)))
    x, y, control = (frame[name].to_numpy() for name in (X, Y, "coarse_acc"))
    means = frame.groupby("method")[[X, Y]].mean().round(9)
    assert (found["n_methods"], found["n_seeds"], found["n_cells"]) == (32, 3, 96)
    assert found["rho"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found["tau"] == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found["rho_means"] == pytest.approx(stats.spearmanr(means[X], means[Y]).statistic)
    ranks = np.stack([stats.rankdata(values) for values in (x, y, control)])
    precision = np.linalg.inv(np.corrcoef(ranks))
    assert found["partial_rho"] == pytest.approx(-precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1]))


def test_the_interval_is_that_of_methods_drawn_one_by_one():
    frame = pd.DataFrame(rows())
    found = pair(only(compared(frame)))
    rng, by_method = np.random.default_rng(11), [own for _, own in frame.groupby("method")]
    drawn = []
    for _ in range(1000):
        sample = pd.concat([by_method[i] for i in rng.integers(0, len(by_method), len(by_method))])
        drawn.append(stats.spearmanr(sample[X], sample[Y]).statistic)
    # Both are random: percentiles of 1,000 and 2,000 resamples.
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.06)


def test_two_reports_are_equal_and_the_order_of_rows_does_not_matter():
    made = rows()
    first, again, turned = (only(compared(pd.DataFrame(own))).pairs for own in (made, made, made[::-1]))
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, turned)


def test_what_is_there_is_found_and_what_is_noise_is_not():
    made = rows(methods=20)
    noise = np.random.default_rng(1)
    frame = pd.DataFrame([row | {"rankme": noise.normal()} for row in made])
    one = only(compared(frame))
    found, nothing = pair(one), pair(one, "rankme")
    assert found["p_adjusted"] < 0.01 and found["low"] > 0
    assert nothing["p_adjusted"] > 0.2 and nothing["low"] < 0 < nothing["high"]


def test_few_methods_have_a_value_but_no_interval():
    found = pair(only(compared(pd.DataFrame(rows(methods=4)))))
    assert not np.isnan(found["rho"]) and "fewer than 5 methods" in found["note"]
    assert all(np.isnan(found[name]) for name in ("low", "high", "partial_low", "partial_high", "p", "p_adjusted"))


def test_constant_and_half_measured_columns():
    frame = pd.DataFrame(rows()).assign(rankme=3.0)
    frame.loc[frame["method"].isin(["m0", "m1"]), "nc1_fine"] = None
    one = only(compared(frame))
    constant, partly = pair(one, "rankme"), pair(one, "nc1_fine")
    assert np.isnan([constant[name] for name in ("rho", "low", "tau", "partial_rho", "p", "p_adjusted")]).all()
    assert constant["note"] == "constant or not measured"
    known = frame.dropna(subset=["nc1_fine"])
    assert (partly["n_methods"], partly["n_cells"]) == (6, 18)
    assert partly["rho"] == pytest.approx(stats.spearmanr(known["nc1_fine"], known[Y]).statistic)
    assert 0 < partly["p"] <= partly["p_adjusted"] <= 1


def test_without_the_control_there_is_no_partial_correlation():
    found = pair(only(compared(pd.DataFrame(rows()).drop(columns="coarse_acc"))))
    assert np.isnan(found["partial_rho"]) and not np.isnan(found["rho"])


@pytest.mark.parametrize("column", collapse.GROUP)
def test_rows_that_cannot_be_compared_never_mix(column):
    other = [row | {"key": "other" + row["key"]} for row in rows(**{column: 7 if "version" in column else "other"})]
    found = compared(pd.DataFrame(rows() + other))
    assert [len(one.cells) for one in found] == [24, 24]
    assert len({one.slug for one in found}) == 2


def test_parameters_make_methods_of_their_own():
    made = rows(methods=1) + [row | {"method_params": '{"beta": 3.0}', "key": "b" + row["key"]} for row in rows(1)]
    made = [row | {"method_params": row["method_params"].replace("{}", '{"beta": 1.0}')} for row in made]
    one = only(compared(pd.DataFrame(made)))
    assert sorted(set(one.cells["label"])) == ["m0 (beta=1.0)", "m0 (beta=3.0)"]
    assert pair(one)["n_methods"] == 2


def test_failed_cells_are_left_out_and_counted():
    made = rows()
    made[0] |= {"status": "failed", X: None}
    one = only(compared(pd.DataFrame(made)))
    assert pair(one)["n_cells"] == 23 and one.size == "8 methods, 3 seeds, 23 cells; 1 failed cell left out"


def test_the_same_cell_in_two_folders_counts_once(tmp_path):
    first, second = rows(), rows()
    first[0] |= {"status": "failed", X: None}
    frame = collapse.read([saved(tmp_path / "a", first), saved(tmp_path / "b", second)])
    assert len(frame) == 24 and (frame["status"] == "ok").all()


def test_what_is_looked_at():
    frame = pd.DataFrame(rows()).assign(subclass_separability_over_shuffled=0.5, rankme=None)
    everything = collapse.choose(frame, [], [], [])
    assert everything.metrics == ("nc1_fine", X) and everything.readouts == (Y, "fine_knn_acc")
    assert everything.pairs == ((X, Y),)
    named = collapse.choose(frame, ["subclass_separability_over_shuffled"], ["fine_knn_acc"], [])
    assert named.pairs == (("subclass_separability_over_shuffled", "fine_knn_acc"),)
    drawn = collapse.choose(frame, [X], ["fine_knn_acc"], [f"nc1_fine:{Y}"])
    assert drawn.metrics == (X, "nc1_fine") and drawn.readouts == ("fine_knn_acc", Y)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ((["subclass_separabilty"], [], []), "did you mean 'subclass_separability'"),
        ((["fine_linear_acc"], [], []), "unknown collapse metric"),
        (([], ["coarse_acc"], []), "unknown fine read-out"),
        ((["rankme"], [], []), "collapse metric rankme: expected in some row, found in none"),
        (([], [], ["nc1_fine"]), "expected METRIC:READOUT"),
        (([], [], ["nc1_fine:rankme"]), "unknown fine read-out 'rankme'"),
    ],
)
def test_a_wrong_choice_is_refused(choice, message):
    with pytest.raises(InputError, match=message):
        collapse.choose(pd.DataFrame(rows()), *choice)


def test_nothing_to_compare_is_refused(tmp_path):
    with pytest.raises(InputError, match="no results to read"):
        collapse.read([tmp_path])
    with pytest.raises(InputError, match="method_params 'x'"):
        collapse.read([saved(tmp_path, rows(method_params="x"))])
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="missing"):
        collapse.read([tmp_path])
    with pytest.raises(InputError, match="no fine read-out in any row"):
        compared(pd.DataFrame(rows()).drop(columns=[Y, "fine_knn_acc"]))
    with pytest.raises(InputError, match="none of the rows is a finished cell"):
        compared(pd.DataFrame(rows(status="failed")))


def test_files(tmp_path):
    found = compared(pd.DataFrame(rows() + rows(name="other")))
    files = collapse.write(found, tmp_path / "report")
    long, text = pd.read_csv(files[0]), files[1].read_text()
    assert list(long.columns) == list(collapse.COLUMNS) and len(long) == 2 * 2 * 2
    assert set(long["task"]) == {"toy", "other"} and set(long["metric"]) == {X, "nc1_fine"}
    one = pair(found[1])
    star = "*" if one["p_adjusted"] < 0.05 else ""
    assert f"{one['rho']:+.2f}{star} [{one['low']:+.2f}, {one['high']:+.2f}]" in text
    assert METRICS[X].meaning in text and collapse.FOOT in text and "8 methods, 3 seeds, 24 cells." in text


def test_tables_show_the_named_read_outs_and_dashes():
    frame = pd.DataFrame(rows()).assign(rankme=1.0)
    heading, lines = collapse.views(only(compared(frame)), ["fine_knn_acc"])[0]
    assert heading == "Spearman's ρ" and list(lines.columns) == ["fine accuracy, k-NN"]
    assert lines.loc["RankMe"].tolist() == ["—"]


def test_figures_are_drawn_where_there_is_something(tmp_path):
    one = only(compared(pd.DataFrame(rows(methods=45)).assign(rankme=1.0, cdnv_fine=np.inf)))
    files = collapse_figures.write(one, tmp_path, [(X, Y), ("cdnv_fine", Y), ("rankme", "fine_knn_acc")])
    names = [file.name for file in files]
    stems = ["toy-x-x-heatmap", f"toy-x-x-{X}-{Y}", "toy-x-x-rankme-fine_knn_acc"]  # no finite CDNV: not drawn
    assert names == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")]
    assert all(imread(file).std() > 0.01 for file in files if file.suffix == ".png")


def test_equal_input_gives_equal_svg(tmp_path):
    one = only(compared(pd.DataFrame(rows())))
    first, second = (tmp_path / name for name in ("a", "b"))
    for folder in (first, second):
        folder.mkdir()
        collapse_figures.write(one, folder, [(X, Y)])
    assert all((second / file.name).read_bytes() == file.read_bytes() for file in first.glob("*.svg"))


def test_names_of_methods_lie_apart():
    one = only(compared(pd.DataFrame(rows(methods=30))))
    figure = collapse_figures.scatter(one, X, Y)
    axes = figure.axes[0]
    figure.canvas.draw()
    boxes = [text.get_window_extent().shrunk(0.95, 0.8) for text in axes.texts if text.arrow_patch is None]
    assert len(axes.texts) == 30
    overlaps = sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert overlaps <= 1


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["c2f", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


def test_the_command_writes_and_shows(tmp_path, capsys, monkeypatch):
    folder = saved(tmp_path / "results", rows())
    code, out, _ = run(capsys, monkeypatch, "report", "collapse", folder, "--pair", "nc1_fine:fine_knn_acc")
    assert code == 0 and "Spearman's ρ" in out and "ρ given coarse accuracy" in out and f"written to {folder}" in out
    written = {path.name for path in (folder / "report").iterdir()}
    assert {"collapse.csv", "collapse.md", "toy-x-x-heatmap.png", "toy-x-x-nc1_fine-fine_knn_acc.svg"} <= written


def test_the_command_refuses_in_one_line(tmp_path, capsys, monkeypatch):
    code, _, err = run(capsys, monkeypatch, "report", "collapse", tmp_path / "nowhere")
    assert code == 2 and err.startswith("c2f: error: ") and err.count("\n") == 1
    folder = saved(tmp_path / "results", rows())
    (tmp_path / "taken").write_text("")
    code, _, err = run(capsys, monkeypatch, "report", "collapse", folder, "--out", tmp_path / "taken" / "deep")
    assert code == 2 and "--out" in err and err.count("\n") == 1


def test_help_teaches(capsys, monkeypatch):
    code, out, _ = run(capsys, monkeypatch, "report", "collapse", "--help")
    assert code == 0 and "c2f report collapse results/methods" in out
    assert "collapse" in run(capsys, monkeypatch, "report")[1]


def test_rounding_errors_are_no_differences():
    # NC2 of two classes is 0 by construction: 1e-16 here and 2e-16 there must not be ranked
    values = [1e-16, 0.0, 2e-16, 0.5]
    assert collapse._numbers(pd.DataFrame({"nc2_equinorm_coarse": values}), "nc2_equinorm_coarse").tolist() == [
        0,
        0,
        0,
        0.5,
    ]
