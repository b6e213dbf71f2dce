"""Leaderboards: what is compared, by hand; what fails, is missing or no longer counts; nothing dropped."""

import json

import numpy as np
import pandas as pd
import pytest
from results_rows import MEANS, build, row, rows, spread
from scipy import stats

from benchmark import schema
from benchmark.errors import InputError
from benchmark.report import leaderboard


def only(found):
    (board,) = found.boards
    return board


def line(board, label):
    return board.lines.set_index("label").loc[label]


def write(folder, given):
    folder.mkdir(parents=True)
    pd.DataFrame(given, columns=[*schema.RESULT_COLUMNS]).to_csv(folder / "results.csv", index=False)


def test_lines_are_ordered_by_their_mean_and_carry_t_intervals():
    board = only(build(rows()))
    assert list(board.lines["label"]) == ["am_mixup", "mixup", "baseline"]
    values = [0.80 + spread(seed, "am_mixup") for seed in range(3)]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    best = line(board, "am_mixup")
    found = best[["fine_linear_acc", "fine_linear_acc_std", "fine_linear_acc_low", "fine_linear_acc_high"]]
    assert found.tolist() == pytest.approx([0.80, np.std(values, ddof=1), low, high])
    assert (best["n"], best["seeds"], best["rank"]) == (3, "0, 1, 2", 1)


def test_differences_are_paired_with_the_reference_by_seed():
    board = only(build(rows()))
    own = line(board, "am_mixup")
    paired = [0.2 + spread(seed, "am_mixup") - spread(seed, "baseline") for seed in range(3)]
    assert own["difference"] == pytest.approx(0.2)
    assert own["p_t"] == pytest.approx(stats.ttest_1samp(paired, 0).pvalue)
    # Holm over two methods: the smaller p-value twice, unless the larger one is larger still
    smaller, larger = sorted([own["p_t"], line(board, "mixup")["p_t"]])
    assert sorted([own["p_holm"], line(board, "mixup")["p_holm"]]) == pytest.approx(
        [2 * smaller, max(2 * smaller, larger)]
    )
    assert np.isnan(line(board, "baseline")["difference"])


def test_a_reference_that_is_not_there_leaves_no_differences():
    board = only(build(rows(["mixup", "am_mixup"])))
    assert board.reference == ""
    assert board.lines["difference"].isna().all()
    assert np.isnan(board.detectable)


def test_another_reference_is_taken_by_its_method_if_it_has_one_line():
    given = [*rows(["baseline"]), *(row("mixup", s, 0.7 + 0.01 * s, '{"alpha": 1.0}') for s in range(3))]
    assert only(build(given, reference="mixup")).reference == "mixup"
    given += [row("mixup", s, 0.6 + 0.02 * s, '{"alpha": 2.0}') for s in range(3)]
    board = only(build(given, reference="mixup (alpha=2.0)"))
    assert board.reference == "mixup (alpha=2.0)"
    assert only(build(given, reference="mixup")).reference == ""  # two lines are of that method


def test_fewer_than_three_seeds_are_shown_and_told_apart_from_nothing():
    given = [*rows(["baseline", "mixup"]), row("am_mixup", 0, 0.99), row("am_mixup", 1, 0.98)]
    board = only(build(given))
    assert list(board.lines["label"]) == ["mixup", "baseline", "am_mixup"]  # after those that are ranked
    own = line(board, "am_mixup")
    assert not own["separable"] and not own["tied"]
    assert np.isnan(own["rank"]) and np.isnan(own["p_holm"])
    assert np.isnan(board.p[2, :2]).all()
    assert own["fine_linear_acc"] == pytest.approx(0.985)


def test_failed_and_missing_cells_are_named():
    failed = row("mixup", 1, np.nan, status="failed", reason="loss became nan")
    board = only(build([*rows(["baseline"]), row("mixup", 0, 0.7), failed, row("am_mixup", 3, 0.8)]))
    assert line(board, "mixup")["failed"] == "seed 1: loss became nan"
    assert line(board, "mixup")["missing"] == "2, 3"
    assert line(board, "baseline")["missing"] == "3"
    only_failed = only(build([*rows(["baseline"]), failed]))
    assert line(only_failed, "mixup")["n"] == 0
    assert np.isnan(line(only_failed, "mixup")["fine_linear_acc"])


def test_a_finished_cell_without_the_metric_is_said_to_lack_it():
    board = only(build([*rows(["baseline"]), row("mixup", 0, np.nan)]))
    assert line(board, "mixup")["failed"] == "seed 0: fine_linear_acc not measured"


def test_the_tie_group_holds_the_best_and_leaves_out_what_is_clearly_worse():
    rng = np.random.default_rng(0)
    given = [row(m, s, v + 0.01 * rng.standard_normal()) for m, v in MEANS.items() for s in range(10)]
    given += [row("cutmix", s, 0.80 + 0.01 * rng.standard_normal()) for s in range(10)]
    lines = only(build(given)).lines.set_index("label")
    assert lines["tied"].to_dict() == {"am_mixup": True, "cutmix": True, "mixup": False, "baseline": False}


def test_cells_that_cannot_be_compared_are_in_boards_of_their_own():
    given = [*rows(), *rows(recipe_params='{"epochs": 9}', seeds=[7, 8, 9]), *rows(task="other", seeds=range(4))]
    found = build(given)
    assert len(found.boards) == 3
    assert len({board.slug for board in found.boards}) == 3
    assert all(len(board.lines) == 3 for board in found.boards)


def test_ranks_over_boards_by_hand():
    given = []
    for task, order in (("a", "xyz"), ("b", "xzy"), ("c", "yxz")):  # best first
        for place, name in enumerate(order):
            given += [row(name, seed, 0.9 - 0.1 * place + 0.001 * seed, task=task) for seed in range(3)]
    given += [row("lonely", seed, 0.5 + 0.1 * seed, task="a") for seed in range(3)]
    overall = build(given).overall
    assert overall.ranks.set_index("label")["mean_rank"].to_dict() == pytest.approx({"x": 4 / 3, "y": 2, "z": 8 / 3})
    # chi² = 12 / (3 · 3 · 4) · (4² + 6² + 8²) - 3 · 3 · 4 = 38.67 - 36
    assert overall.statistic == pytest.approx(116 / 3 - 36)
    assert overall.p == pytest.approx(stats.friedmanchisquare([3, 3, 2], [2, 1, 3], [1, 2, 1]).pvalue)
    assert list(overall.left_out) == ["lonely"]
    assert overall.cliques == (("x", "y", "z"),)


def test_one_board_has_no_ranks_over_boards():
    assert build(rows()).overall is None
    assert build([*rows(), *rows(task="other", seeds=[0])]).overall is None  # the other ranks nothing


def test_what_has_moved_no_longer_counts_and_says_why():
    old = row("mixup", 9, 0.9, metric_version=1)
    found = build([*rows(), old], current={"digits-halves": (1, "d1")})
    assert found.outdated["why"].tolist() == [f"metric version 1, now {schema.METRIC_VERSION}"]
    assert "9" not in line(only(found), "mixup")["seeds"]
    renumbered = build([*rows(), *rows(task="other")], current={"digits-halves": (2, "d2")})
    assert renumbered.outdated["why"].unique().tolist() == ["version 1 of the hierarchy, now 2"]
    moved = build([*rows(), *rows(task="other")], current={"digits-halves": (1, "d2")})
    assert moved.outdated["why"].unique().tolist() == ["the classes of the hierarchy have moved"]
    assert len(moved.outdated) == 9
    with pytest.raises(InputError, match="no finished row that still counts among 9"):
        build(rows(), current={"digits-halves": (1, "d2")})


def test_classes_left_out_on_purpose_do_not_outdate_a_row():
    found = build(rows(missing_classes='["owl"]'), current={"digits-halves": (1, "d2")})
    assert found.outdated.empty


def test_outdated_rows_do_not_change_names_of_those_that_count():
    given = [
        *rows(["baseline"]),
        *(row("mixup", s, 0.7 + 0.01 * s, '{"alpha": 1.0}') for s in range(3)),
        row("mixup", 0, 0.7, '{"alpha": 9.0}', metric_version=1),
    ]
    assert "mixup" in only(build(given)).lines["label"].tolist()


def test_two_files_of_one_name_are_two_methods():
    given = [*rows(["baseline"]), row("mine", 0, 0.5, method_digest="aaaaaaaa"), row("mine", 1, 0.5, "{}")]
    labels = set(only(build(given)).lines["label"])
    assert labels == {"baseline", "mine (file=aaaaaa)", "mine (file=)"}


def test_results_are_found_under_folders_and_a_cell_counts_once(tmp_path):
    finished, failed = row("mixup", 1, 0.7), row("mixup", 1, np.nan, status="failed", reason="out of memory")
    write(tmp_path / "a", [row(), failed])
    write(tmp_path / "b" / "c", [finished, row()])
    frame = leaderboard.read([tmp_path])
    assert frame[["method", "status"]].to_numpy().tolist() == [["baseline", "ok"], ["mixup", "ok"]]
    assert frame["folder"].tolist() == [str(tmp_path / "a"), str(tmp_path / "b" / "c")]
    assert len(leaderboard.read([tmp_path / "a", tmp_path / "b" / "c" / "results.csv"])) == 2


def test_the_digest_is_of_the_rows_whatever_their_order():
    given = rows()
    assert build(given).digest == build(given[::-1]).digest
    assert build(given).digest != build(given[1:]).digest
    assert build(given).digest != build([row(predictions_digest="other"), *given[1:]]).digest


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"metric": "fine_knn"}, "metric to rank by.*fine_knn_acc"),
        ({"metric": "rankme"}, "metric to rank by"),
        ({"metric": "coarse_ece"}, "metric to rank by"),  # more is worse
        ({"columns": ["cost"]}, "column"),
    ],
)
def test_what_cannot_rank_or_be_shown_is_refused(options, match):
    with pytest.raises(InputError, match=match):
        build(rows(), **options)


def test_no_results_are_told_in_a_line(tmp_path):
    with pytest.raises(InputError, match=r"no results.csv at or under it; name a results folder"):
        leaderboard.read([tmp_path])


def test_any_ranking_column_has_the_same_lines():
    board = only(build(rows(), metric="fine_knn_acc", columns=["fine_linear_acc", "pretrain_seconds"]))
    assert board.columns == ("fine_knn_acc", "fine_linear_acc", "pretrain_seconds")
    assert board.lines["tied"].all()  # all are 0.25
    assert json.loads(board.lines["method_params"].iloc[0]) == {}
