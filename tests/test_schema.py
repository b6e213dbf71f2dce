"""Identity: what must run again does, what need not does not; and the columns of the CSVs, pinned."""

import dataclasses

import pytest

from benchmark import schema
from benchmark.schema import Recipe

SCORES = (
    "coarse_acc worst_class_acc many_acc medium_acc few_acc source_coarse_acc fine_linear_acc fine_linear_within_acc "
    "fine_knn_acc fine_ncm_acc alignment_coarse alignment_fine "
    "uniformity nc1_coarse nc1_fine subclass_separability class_separation_r2 rankme margin_mean margin_cv"
)
CELL = (
    "key task kind coarse_level fine_level hierarchy_version hierarchy_digest data_digest missing_classes method "
    "method_params method_digest backbone backbone_args recipe recipe_params seed metric_version"
)
REST = (
    "coarse_val_acc fine_val_acc probe_l2 pretrain_seconds extract_seconds score_seconds images_per_second "
    "peak_memory_mb package_version git_commit git_dirty python_version torch_version timm_version sklearn_version "
    "device device_name num_threads precision init init_labels split_digest command finished_at"
)


def test_columns_are_pinned():
    assert " ".join(schema.SCORE_COLUMNS) == SCORES
    assert " ".join(schema.RESULT_COLUMNS) == f"{CELL} status reason {SCORES} {REST}"


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


def test_a_metric_version_runs_cells_again(toy_cell, monkeypatch):
    before = toy_cell().key
    monkeypatch.setattr(schema, "METRIC_VERSION", schema.METRIC_VERSION + 1)
    assert toy_cell().key != before


def test_fine_to_coarse_follows_the_tree(toy_task):
    assert toy_task.fine_to_coarse == (0, 0, 1, 1, 1, 2, 2)


@pytest.mark.parametrize("field", [{"epochs": 0}, {"lr": 0}, {"batch_size": 1}, {"momentum": 1}, {"warmup_epochs": 9}])
def test_recipes_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Recipe(**{"name": "x", "title": "", "epochs": 3, **field})
