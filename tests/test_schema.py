"""Identity: what must run again does, what need not does not; and the columns of the CSVs, pinned."""

import dataclasses
import math

import pytest

from benchmark import metrics, schema
from benchmark.metrics import Figure
from benchmark.schema import Measures, Recipe

SCORES = (
    "coarse_acc worst_class_acc many_acc medium_acc few_acc source_coarse_acc coarse_ece coarse_confidence "
    "fine_linear_acc fine_linear_worst_acc fine_linear_within_acc fine_knn_acc fine_ncm_acc fine_recall_at_1 "
    "fine_recall_at_2 fine_recall_at_5 fine_recall_at_10 fine_map_at_r fine_5way_1shot_acc fine_5way_5shot_acc "
    "fine_5way_10shot_acc fine_allway_1shot_acc fine_allway_5shot_acc fine_allway_10shot_acc fine_intra_1shot_acc "
    "fine_intra_5shot_acc fine_intra_10shot_acc fine_cluster_ami fine_cluster_acc fine_tuned_acc alignment_coarse "
    "alignment_fine alignment_between uniformity nc1_coarse nc1_fine nc2_equinorm_coarse nc2_equinorm_fine "
    "nc2_equiangular_coarse nc2_equiangular_fine nc3_coarse nc3_fine nc4_coarse nc4_fine cdnv_coarse cdnv_fine "
    "subclass_separability class_separation_r2 class_separation_r2_fine variance_coarse variance_fine variance_within "
    "rankme effective_rank participation_ratio spectrum_decay margin_mean margin_cv margin_negative feature_norm "
    "feature_norm_cv"
)
OF_FINE_LABELS = (
    "alignment_fine alignment_between nc1_fine nc2_equinorm_fine nc2_equiangular_fine nc3_fine nc4_fine cdnv_fine "
    "subclass_separability class_separation_r2_fine variance_fine variance_within"
).split()
FIGURE = "metric value split layer superclass low high untrained shuffled over_untrained over_shuffled"
CELL = (
    "key task kind coarse_level fine_level hierarchy_version hierarchy_digest data_digest missing_classes method "
    "method_params method_digest backbone backbone_args recipe recipe_params seed measures metric_version"
)
REST = (
    "coarse_val_acc fine_val_acc probe_l2 pretrain_seconds extract_seconds fine_tune_seconds score_seconds "
    "images_per_second peak_memory_mb package_version git_commit git_dirty python_version torch_version "
    "timm_version sklearn_version device device_name num_threads precision init init_labels split_digest "
    "predictions_digest features_digest scored_commit command finished_at"
)


def test_columns_are_pinned():
    collapse = SCORES[SCORES.index("alignment_coarse") :].split()
    nulls = {name: ["untrained", "shuffled"] if name in OF_FINE_LABELS else ["untrained"] for name in collapse}
    excess = " ".join(f"{name}_over_{null}" for name in collapse for null in nulls[name])
    assert " ".join(metrics.METRICS) == SCORES
    assert " ".join(metrics.FIGURE_COLUMNS) == FIGURE
    assert " ".join(schema.RESULT_COLUMNS) == f"{CELL} status reason {SCORES} {excess} {REST}"


def test_cell_columns_follow_the_cell(toy_cell):
    assert tuple(schema.cell_columns(toy_cell())) == schema.CELL_COLUMNS


def test_everything_that_can_change_a_number_changes_the_key(toy_cell, toy_recipe):
    cell = toy_cell("am_mixup")
    moved = dataclasses.replace(cell.task.hierarchy, paths=cell.task.hierarchy.paths[::-1])
    others = [
        toy_cell("mixup"),
        toy_cell("am_mixup", beta=2.5),
        toy_cell("am_mixup", seed=1),
        toy_cell("am_mixup", recipe=dataclasses.replace(toy_recipe, lr=0.06)),
        dataclasses.replace(cell, data_digest="other"),
        dataclasses.replace(cell, measures=Measures(track=2)),
        dataclasses.replace(cell, measures=Measures(layers=True)),
        dataclasses.replace(cell, measures=Measures(fine_tune=True)),
        dataclasses.replace(cell, backbone="resnet18"),
        dataclasses.replace(cell, backbone_args={"drop_rate": 0.1}),
        dataclasses.replace(cell, task=dataclasses.replace(cell.task, hierarchy=moved)),
        dataclasses.replace(cell, task=dataclasses.replace(cell.task, kind="long-tailed")),
    ]
    assert len({c.key for c in [cell, *others]}) == 1 + len(others)


def test_words_do_not_change_the_key(toy_cell, toy_recipe):
    cell = toy_cell()
    retitled = dataclasses.replace(cell.task.hierarchy, title="other", provenance="other", licence="other")
    assert dataclasses.replace(cell, task=dataclasses.replace(cell.task, hierarchy=retitled)).key == cell.key
    assert toy_cell(recipe=dataclasses.replace(toy_recipe, name="other", title="other")).key == cell.key


def test_a_metric_version_scores_cells_again_from_the_same_features(toy_cell, monkeypatch):
    before = toy_cell()
    keys = before.key, before.features_key
    monkeypatch.setattr(schema, "METRIC_VERSION", schema.METRIC_VERSION + 1)
    assert toy_cell().key != keys[0] and toy_cell().features_key == keys[1]


def test_measures_never_move_a_draw(toy_cell):
    cell = toy_cell("am_mixup")
    measured = dataclasses.replace(cell, measures=Measures(track=1, layers=True, fine_tune=True))
    assert measured.training_identity == cell.training_identity
    assert measured.features_key != cell.features_key


def test_columns_of_a_row_are_its_figures_of_all_test_images():
    figures = [
        Figure("nc1_fine", 2.0, untrained=5.0, shuffled=3.0),
        Figure("uniformity", -2.0, untrained=-1.0),
        Figure("nc1_fine", 7.0, split="train"),
        Figure("nc1_fine", 8.0, layer="stage 1"),
        Figure("nc1_fine", 9.0, superclass="dogs"),
    ]
    scores = {name: value for name, value in metrics.wide(figures).items() if not math.isnan(value)}
    excess = {name: value for name, value in metrics.excess(figures).items() if not math.isnan(value)}
    assert scores == {"nc1_fine": 2.0, "uniformity": -2.0}
    assert excess == {
        "nc1_fine_over_untrained": -3.0,
        "nc1_fine_over_shuffled": -1.0,
        "uniformity_over_untrained": -1.0,
    }
    assert tuple(metrics.wide([])) == tuple(metrics.METRICS)


def test_fine_to_coarse_follows_the_tree(toy_task):
    assert toy_task.fine_to_coarse == (0, 0, 1, 1, 1, 2, 2)


@pytest.mark.parametrize("field", [{"epochs": 0}, {"lr": 0}, {"batch_size": 1}, {"momentum": 1}, {"warmup_epochs": 9}])
def test_recipes_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Recipe(**{"name": "x", "title": "", "epochs": 3, **field})
