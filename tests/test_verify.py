"""Verification: an honest row comes out equal, and every way to change one is found."""

import dataclasses
import json
import math
import shutil

import pytest
import torch
from conftest import HIERARCHIES

from benchmark import archive, figures, resampling, schema, scorer, sweep, verify
from benchmark.errors import InputError
from benchmark.pretrain import Silent
from benchmark.schema import Measures
from benchmark.store import Store
from benchmark.sweep import Grid


class Quiet:
    def cell_started(self, cell):
        return Silent()

    def cell_finished(self, cell, seconds, problem):
        assert not problem


@pytest.fixture(scope="module")
def made(tmp_path_factory, toy_recipe):
    """Results of one cell without and one with kept features."""
    root = tmp_path_factory.mktemp("made")
    for name, keep in (("plain", False), ("kept", True)):
        store = Store(root / name)
        store.open()
        measures = Measures(layers=True, fine_tune=keep)
        grid = Grid(["toy"], [("mixup", {})], ["test_resnet"], [0], toy_recipe, measures=measures)
        plan = sweep.plan(grid, root, HIERARCHIES)
        sweep.run(plan.cells, plan, store, torch.device("cpu"), Quiet(), keep_features=keep)
        store.merge()
    return root


@pytest.fixture
def folder(made, tmp_path):
    """A copy that may be damaged."""
    return lambda name: shutil.copytree(made / name, tmp_path / name)


def only(folder):
    Store(folder).merge()
    (verdict,) = verify.verify(folder, HIERARCHIES)
    return verdict


def change(folder, edit):
    """Edit the stored row."""
    (path,) = (folder / "cells").glob("*.json")
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


def test_predictions_give_head_and_read_outs(folder):
    verdict = only(folder("plain"))
    assert verdict.state == "equal" and verdict.computed > 40
    assert verdict.lines == ("collapse metrics not computed: features were not kept (run with --keep-features)",)


def test_features_give_everything(folder):
    path = folder("kept")
    verdict = only(path)
    (record,) = Store(path).records()
    assert (verdict.state, verdict.lines) == ("equal", ())
    assert verdict.computed == len(record["figures"])


def test_a_changed_prediction_is_detected(folder):
    path = folder("plain")
    (file,) = (path / "predictions").iterdir()
    predictions = archive.unpack(file)
    changed = dataclasses.replace(predictions, knn=(predictions.fine + 1) % 7)
    file.write_bytes(archive.pack(changed))
    verdict = only(path)
    assert verdict.state == "changed" and "SHA-256 differs" in verdict.lines[0]


def test_predictions_forged_with_their_digest_are_detected(folder):
    path = folder("plain")
    (file,) = (path / "predictions").iterdir()
    predictions = archive.unpack(file)
    packed = archive.pack(dataclasses.replace(predictions, knn=(predictions.fine + 1) % 7))
    file.unlink()
    change(path, lambda record: record["provenance"].update(predictions_digest=archive.sha256(packed)))
    (key,) = (record["cell"]["key"] for record in Store(path).records())
    Store(path).predictions_of(key, archive.sha256(packed)).write_bytes(packed)
    verdict = only(path)
    assert verdict.state == "different"
    assert any(line.startswith("fine_knn_acc, test: value stored as") for line in verdict.lines)
    assert all("fine_knn_acc" in line for line in verdict.lines[:-1])


@pytest.mark.parametrize("shorter", [True, False])
def test_predictions_that_do_not_fit_are_told_not_raised(shorter, folder):
    path = folder("plain")
    (file,) = (path / "predictions").iterdir()
    predictions = archive.unpack(file)
    packed = archive.pack(dataclasses.replace(predictions, knn=predictions.knn[:5])) if shorter else b"no archive"
    (key,) = (record["cell"]["key"] for record in Store(path).records())
    change(path, lambda record: record["provenance"].update(predictions_digest=archive.sha256(packed)))
    Store(path).predictions_of(key, archive.sha256(packed)).write_bytes(packed)
    verdict = only(path)
    assert verdict.state == "changed" and "does not fit it" in verdict.lines[0]


@pytest.mark.parametrize("name", ["value", "low", "high"])
def test_a_changed_figure_is_detected(name, folder):
    path = folder("plain")

    def edit(record):
        (figure,) = [f for f in record["figures"] if f["metric"] == "fine_linear_acc" and not f["superclass"]]
        figure[name] += 0.01

    change(path, edit)
    verdict = only(path)
    assert verdict.state == "different" and f"fine_linear_acc, test: {name} stored as" in verdict.lines[0]


@pytest.mark.parametrize("name", ["value", "untrained", "shuffled"])
def test_a_changed_collapse_metric_is_detected_where_features_were_kept(name, folder):
    path = folder("kept")

    def edit(record):
        for figure in record["figures"]:
            if figure["metric"] == "subclass_separability" and figure["split"] == "test" and not figure["superclass"]:
                figure[name] = (figure[name] or 0) + 0.01

    change(path, edit)
    verdict = only(path)
    assert verdict.state == "different" and "subclass_separability" in verdict.lines[0]


def test_a_figure_that_is_gone_or_was_added_is_detected(folder):
    path = folder("kept")
    change(path, lambda record: record["figures"].pop())
    assert "computed, but not stored" in only(path).lines[0]


def test_a_metric_that_does_not_exist_is_detected(folder):
    path = folder("plain")
    change(path, lambda record: record["figures"][0].update(metric="fine_magic_acc"))
    verdict = only(path)
    assert verdict.state == "changed" and "fine_magic_acc" in verdict.lines[0]


def test_changed_features_are_detected(folder):
    path = folder("kept")
    (file,) = (path / "features").iterdir()
    features, labels, record = archive.recall(file)
    archive.keep(file, dataclasses.replace(features, test=features.test * 2), labels, record)
    assert only(path).state == "changed"


@pytest.mark.parametrize(
    "change_of", [{"seed": 1}, {"method": "cutmix"}, {"data_digest": "0"}, {"recipe_params": '{"epochs": 9, "lr": 1}'}]
)
def test_a_row_that_claims_another_cell_is_detected(change_of, folder):
    path = folder("plain")
    change(path, lambda record: record["cell"].update(change_of))
    verdict = only(path)
    assert verdict.state == "changed" and "do not give its key" in verdict.lines[0]


def test_another_hierarchy_is_told(folder):
    path = folder("plain")
    change(path, lambda record: record["cell"].update(hierarchy_digest="0" * 16))
    verdict = only(path)
    assert verdict.state == "changed" and "hierarchy toy is" in verdict.lines[0]


def test_missing_predictions_are_told(folder):
    path = folder("plain")
    shutil.rmtree(path / "predictions")
    assert only(path).state == "absent"


def test_answers_that_the_features_do_not_give_are_detected(folder):
    path = folder("kept")
    (file,) = (path / "predictions").iterdir()
    predictions = archive.unpack(file)
    wrong = dataclasses.replace(predictions, knn=(predictions.fine + 1) % 7)
    packed = archive.pack(wrong)
    file.unlink()
    (record,) = Store(path).records()
    cell = verify.cell_of(record["cell"], HIERARCHIES)
    weights = resampling.weights(wrong.fine, scorer.REPLICATES, verify.chance(cell).bootstrap)
    forged = {verify._place(f): f for f in figures.of(wrong, cell.task, weights)}

    def edit(record):
        record["provenance"].update(predictions_digest=archive.sha256(packed))
        for line in record["figures"]:
            found = forged.get((line["metric"], line["split"], line["layer"], line["superclass"]))
            line.update({name: getattr(found, name) for name in ("value", "low", "high") if found})

    change(path, edit)
    Store(path).predictions_of(cell.key, archive.sha256(packed)).write_bytes(packed)
    verdict = only(path)
    assert verdict.state == "different"
    assert verdict.lines == ("knn: 100.0% of the stored answers are not those that the kept features give",)


def test_a_table_that_was_changed_is_detected(folder):
    path = folder("plain")
    Store(path).merge()
    table = path / "results.csv"
    table.write_text(table.read_text().replace("mixup", "am_mixup"))
    equal, stale = verify.verify(path, HIERARCHIES)
    assert (equal.state, stale.state, stale.title) == ("equal", "changed", "results.csv")


def test_rows_of_another_metric_version_are_told_apart(folder, monkeypatch):
    path = folder("plain")
    monkeypatch.setattr(verify, "METRIC_VERSION", schema.METRIC_VERSION + 1)
    verdict = only(path)
    assert verdict.state == "other version" and verdict.computed == 0


def test_features_of_another_metric_version_are_scored_without_training(folder, monkeypatch, toy_recipe):
    path = folder("kept")
    monkeypatch.setattr(schema, "METRIC_VERSION", schema.METRIC_VERSION + 1)
    monkeypatch.setattr("benchmark.cell.pretrain", None)  # nobody may call it
    measures = Measures(layers=True, fine_tune=True)
    grid = Grid(["toy"], [("mixup", {})], ["test_resnet"], [0], toy_recipe, measures=measures)
    plan, store = sweep.plan(grid, path, HIERARCHIES), Store(path)
    (cell,) = sweep.todo(plan, store)
    sweep.run([cell], plan, store, torch.device("cpu"), Quiet())
    old, new = store.records()
    assert {old["cell"]["metric_version"], new["cell"]["metric_version"]} == {
        schema.METRIC_VERSION - 1,
        schema.METRIC_VERSION,
    }
    assert old["figures"] == new["figures"] and old["history"] == new["history"]


def test_folders_are_found_at_any_depth(made, tmp_path):
    assert verify.folders([made, made / "kept"]) == [made / "kept", made / "plain"]
    with pytest.raises(InputError, match="no results folder"):
        verify.folders([tmp_path])


def test_fine_tuning_beats_guessing_and_is_stored(made):
    (record,) = Store(made / "kept").records()
    tuned = {f["superclass"]: f["value"] for f in record["figures"] if f["metric"] == "fine_tuned_acc"}
    assert tuned[""] > 1 / 7 and not math.isnan(tuned["(worst)"])
