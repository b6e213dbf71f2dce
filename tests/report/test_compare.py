"""Two methods side by side: figures as scipy's, what counts as changed, who is meant, what is written, refusals."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread
from scipy import stats
from statsmodels.stats.multitest import multipletests
from toy_boards import METHODS, rows

from benchmark import cli
from benchmark.errors import InputError
from benchmark.report import compare, leaderboard, plots, views

SHOWN = ("coarse_acc", "fine_linear_acc", "fine_knn_acc", "rankme", "uniformity")
NONE = pd.DataFrame(columns=list(views.SCORES))


def built(*frames):
    return leaderboard.build(pd.concat(frames, ignore_index=True))


def by_superclass(changes, seeds=5):
    """Scores of superclasses: m1 is better than the baseline by `changes`, with a little noise."""
    rng = np.random.default_rng(0)
    lines = []
    for name, change in changes.items():
        for seed in range(seeds):
            own = 0.5 + rng.normal(0, 0.05)
            both = (("k0", own), ("k1", own + change + rng.normal(0, 0.004)))
            lines += [(f"{key}-{seed}", "fine_linear_acc", name, value) for key, value in both]
    return pd.DataFrame(lines, columns=list(views.SCORES))


def only(found):
    (one,) = found
    return one


def test_published_differences_are_scipys():
    found = leaderboard.build(leaderboard.read([METHODS]))
    scores = views.scores([METHODS], ["fine_linear_acc"])
    one = only(compare.comparisons(found, "am_mixup", "baseline", SHOWN, scores))
    cells = found.boards[0].cells.set_index(["method", "seed"]).sort_index()
    raw = []
    for line in one.part("read-outs").to_dict("records"):
        first, second = (cells.loc[name, line["column"]] for name in ("am_mixup", "baseline"))
        test = stats.ttest_rel(first, second)
        interval = test.confidence_interval()
        assert (line["first"], line["second"]) == pytest.approx((first.mean(), second.mean()))
        assert (line["difference"], line["p"]) == pytest.approx(((first - second).mean(), test.pvalue))
        assert (line["low"], line["high"]) == pytest.approx((interval.low, interval.high))
        # Hedges' J with two degrees of freedom is gamma(1) / (gamma(1/2) sqrt(1)) = 1 / sqrt(pi).
        assert line["effect"] == pytest.approx((first - second).mean() / (first - second).std() / np.sqrt(np.pi))
        raw.append(test.pvalue)
    assert list(one.part("read-outs")["p_holm"]) == pytest.approx(list(multipletests(raw, method="holm")[1]))
    assert list(one.part("collapse")["column"]) == ["rankme", "uniformity"]
    assert set(one.part("superclasses")["superclass"]) == {"below_five", "five_and_above"}


def test_superclasses_that_changed_are_named():
    changes = {"a": 0.10, "b": 0.0, "c": -0.08, "d": 0.001}
    one = only(compare.comparisons(built(rows(2, 5)), "m1", "baseline", SHOWN, by_superclass(changes)))
    assert list(one.part("superclasses")["superclass"]) == ["a", "d", "b", "c"]  # by their difference
    assert "Superclasses that changed: better: a; worse: c." in one.notes
    turned = only(compare.comparisons(built(rows(2, 5)), "baseline", "m1", SHOWN, by_superclass(changes)))
    assert "Superclasses that changed: better: c; worse: a." in turned.notes
    assert list(turned.part("superclasses")["difference"]) == list(-one.part("superclasses")["difference"])[::-1]


def test_two_seeds_are_not_tested():
    one = only(compare.comparisons(built(rows(2, 2)), "m1", "baseline", SHOWN, by_superclass({"a": 0.1}, 2)))
    assert one.lines[["p", "p_holm", "effect"]].isna().all(axis=None) and one.lines["difference"].notna().all()
    assert any("Fewer than 3" in note for note in one.notes)
    assert "**+" not in compare.markdown([one])
    with mpl.rc_context(plots.STYLE):
        drawn = [axes for axes in plots.comparison(one, 7).findobj(Axes) if axes.get_xlabel()]
    assert [axes.get_xlabel() for axes in drawn] == ["difference × 100", "by superclass, difference × 100"]


def test_only_shared_seeds_count():
    frame = rows(2, 4)
    frame.loc[frame["key"] == "k0-3", ["status", "reason"]] = ["failed", "diverged"]
    one = only(compare.comparisons(built(frame), "m1", "baseline", SHOWN, NONE))
    line = one.part("read-outs").set_index("column").loc["fine_linear_acc"]
    # Seeds 0 to 2: baseline 0.50, 0.51, 0.52; m1 a point more each, so no variance is known and nothing is tested.
    assert (line["n"], line["first"], line["second"]) == (3, pytest.approx(0.52), pytest.approx(0.51))
    assert line["difference"] == pytest.approx(0.01) and np.isnan(line["p"])
    assert any("seed 3: diverged" in note for note in one.notes) and any("superclass" in note for note in one.notes)


def betas():
    two = [rows(2).assign(method_params=f'{{"beta": {beta}}}') for beta in (3.0, 10.0)]
    return built(two[0], two[1].assign(key=lambda own: "x" + own["key"]))


def test_methods_are_found_by_label_and_number():
    one = only(compare.comparisons(betas(), "m1 (beta=3)", "m1 (beta=10.0)", SHOWN, NONE))
    assert (one.first, one.second) == ("m1 (beta=3.0)", "m1 (beta=10.0)")


def test_who_is_not_meant_is_refused_in_a_line():
    found = built(rows(2))
    with pytest.raises(InputError, match=r"'m1' is several methods of .*beta=3\.0.*name one"):
        compare.comparisons(betas(), "m1", "m1 (beta=3)", SHOWN, NONE)
    with pytest.raises(InputError, match="unknown method 'basline'; did you mean 'baseline'"):
        compare.comparisons(found, "m1", "basline", SHOWN, NONE)
    with pytest.raises(InputError, match="are the same method, m1"):
        compare.comparisons(found, "m1", "m1", SHOWN, NONE)
    with pytest.raises(InputError, match="unknown column 'rank'"):
        compare.comparisons(found, "m1", "baseline", ["rank"], NONE)
    apart = rows(2)
    apart.loc[apart["method"] == "m1", "seed"] += 7
    with pytest.raises(InputError, match="no board has a finished seed of both"):
        compare.comparisons(built(apart), "m1", "baseline", SHOWN, NONE)


def test_boards_without_both_are_left_out():
    longer = rows(1).assign(recipe="longer", key=lambda own: "l" + own["key"])
    assert "recipe x" in only(compare.comparisons(built(rows(2), longer), "m1", "baseline", SHOWN, NONE)).title


def test_names_are_no_markup(tmp_path):
    frame = rows(2).replace({"method": {"m1": "a|b`<script>"}})
    one = only(compare.comparisons(built(frame), "a|b`<script>", "baseline", SHOWN, NONE))
    text = compare.write([one], tmp_path)[1].read_text()
    assert "<script" not in text and r"a\|b" in text
    widths = {line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_the_command_prints_and_writes(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["c2f", "compare", "mixup", "baseline", str(METHODS), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    told = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "3 seeds of both." in told and "Collapse" in told
    table = pd.read_csv(tmp_path / "compare.csv")
    assert list(table.columns) == ["board", "first_method", "second_method", *compare.COLUMNS]
    assert set(table["part"]) == set(compare.PARTS)
    (png,) = tmp_path.glob("compare-*.png")
    assert imread(png).shape[1] == pytest.approx(175 / 25.4 * 200, abs=1) and png.with_suffix(".svg").exists()
    assert "| RankMe" in (tmp_path / "compare.md").read_text()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    one = compare.comparisons(built(rows(2)), "m1", "baseline", SHOWN, NONE)
    with pytest.raises(InputError, match="cannot write there"):
        compare.write(one, tmp_path / "file")


@pytest.mark.parametrize("width", ["column", "page"])
def test_many_superclasses_show_those_that_differ_most(tmp_path, width):
    changes = {f"s{i:02}": i / 1000 for i in range(60)}
    one = only(compare.comparisons(built(rows(2, 5)), "m1", "baseline", SHOWN, by_superclass(changes)))
    file = plots.write_comparison(one, tmp_path, plots.inches(width))[1]
    names = [name for name in changes if f"<!-- {name} -->" in file.read_text()]
    assert {"s00", "s59"} <= set(names) and len(names) == plots.LINES
