"""Tables: means and deviations by hand, comparable rows only, failures shown, text safe."""

import pandas as pd
import pytest

from benchmark import schema
from benchmark.errors import InputError
from benchmark.metrics import METRICS
from benchmark.report import table


def row(method="baseline", seed=0, coarse_acc=0.5, params="{}", **changes):
    values = {name: "x" for name in schema.RESULT_COLUMNS} | {name: 0.25 for name in METRICS}
    values |= {"method": method, "seed": seed, "coarse_acc": coarse_acc, "method_params": params, "status": "ok"}
    return values | {"reason": "", "key": f"{method}{seed}{params}"} | changes


def frame(*rows):
    return pd.DataFrame(list(rows), columns=list(schema.RESULT_COLUMNS))


def only(made):
    (single,) = made
    return single


def test_mean_and_deviation_by_hand():
    # 0.50, 0.60, 0.70: mean 60 %, sample deviation 10 %
    rows = [row(seed=i, coarse_acc=acc) for i, acc in enumerate((0.5, 0.6, 0.7))]
    made = only(table.tables(frame(*rows), ["coarse_acc"]))
    assert made.lines.loc["baseline"].tolist() == ["3", "60.0±10.0"]


def test_one_seed_has_no_deviation_and_undefined_is_a_dash():
    made = only(table.tables(frame(row(margin_cv=None)), ["coarse_acc", "margin_cv", "rankme"]))
    assert made.lines.loc["baseline"].tolist() == ["1", "50.0", "—", "0.25"]


def test_the_baseline_leads_and_the_rest_is_alphabetical():
    made = only(table.tables(frame(row("mixup"), row("baseline"), row("am_mixup")), ["coarse_acc"]))
    assert list(made.lines.index) == ["baseline", "am_mixup", "mixup"]


def test_rows_that_cannot_be_compared_are_never_mixed():
    rows = [row(), row(seed=1, hierarchy_digest="moved"), row(seed=2, recipe_params="other")]
    assert [made.lines.loc["baseline", "seeds"] for made in table.tables(frame(*rows), ["coarse_acc"])] == ["1"] * 3


def test_parameters_are_named_where_they_differ():
    rows = [
        row("am_mixup", params='{"beta": 10.0, "weight": 1.0}'),
        row("am_mixup", params='{"beta": 1.0, "weight": 1.0}'),
        row("am_mixup", params='{"beta": 3.0, "weight": 1.0}'),
    ]
    made = only(table.tables(frame(*rows), ["coarse_acc"]))
    assert list(made.lines.index) == ["am_mixup (beta=1.0)", "am_mixup (beta=3.0)", "am_mixup (beta=10.0)"]


def test_failed_cells_are_shown_with_their_reason():
    rows = [row(), row(seed=1, status="failed", reason="loss became nan", coarse_acc=None)]
    made = only(table.tables(frame(*rows), ["coarse_acc"]))
    assert made.lines.loc["baseline"].tolist() == ["1, 1 failed", "50.0"]
    assert made.failures == ("baseline, seed 1: loss became nan",)
    assert "failed: baseline, seed 1" in table.markdown(frame(*rows))


def test_markdown_says_what_the_figures_are():
    text = table.markdown(frame(row()))
    assert text.startswith("**x · x · recipe x**") and text.endswith(table.FOOT + "\n")
    assert all(table.HEADINGS[name] in text for name in (*table.TRANSFER, *table.COLLAPSE))


def test_what_is_read_keeps_its_type(tmp_path):
    frame(row("nan", hierarchy_digest="00123456"), row("None", hierarchy_digest="1e5")).to_csv(
        tmp_path / "results.csv", index=False
    )
    found = table.read(tmp_path)
    assert found["method"].tolist() == ["nan", "None"]
    assert found["hierarchy_digest"].tolist() == ["00123456", "1e5"]


def test_a_file_of_other_columns_is_refused(tmp_path):
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="another version"):
        table.read(tmp_path)


def test_every_score_shown_exists():
    assert set((*table.TRANSFER, *table.COLLAPSE)) <= set(METRICS)


def test_a_cell_measured_in_two_ways_does_not_count_twice():
    made = list(table.tables(frame(row(measures="{}"), row(measures='{"track": 2}')), ["coarse_acc"]))
    assert [table.lines.loc["baseline", "seeds"] for table in made] == ["1", "1"]
