"""Honest archives: added whole, added once, replaced only with a reason; and the forms that hold everything else."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest
from conftest import HIERARCHIES
from submission.forge import snapshot

from benchmark import cli, metrics, verify
from benchmark.errors import InputError
from benchmark.schema import METRIC_VERSION
from benchmark.store import Store
from benchmark.submission import accept, arrays, inspection, ledger, rows

PUBLISHED = Path(__file__).parents[2] / "results" / "published"


def test_an_archive_becomes_a_folder_that_verifies(forge, made_rows):
    forge.write()
    outcome = forge.accept(data_root=Path("nowhere"))
    folder = forge.published / "toy"
    assert (outcome.folder, outcome.problems, outcome.notes, len(outcome.added)) == (folder, (), (), 2)
    assert {verdict.state for verdict in verify.verify(folder, HIERARCHIES)} == {"equal"}
    made = snapshot(made_rows)
    added = snapshot(folder)
    assert made.items() <= added.items()  # every byte, tables included
    (manifest,) = added.keys() - made.keys()
    assert manifest.startswith("submissions/")
    assert json.loads((folder / manifest).read_text())["paper"] == "arXiv:2701.00001"


def test_accepting_again_changes_nothing(forge):
    forge.write()
    forge.accept()
    before = snapshot(forge.published)
    outcome = forge.accept()
    assert (outcome.problems, outcome.added, outcome.replaced) == ((), (), ())
    assert snapshot(forge.published) == before


def test_check_writes_nothing(forge):
    forge.write()
    assert len(forge.accept(check=True).added) == 2
    assert not list(forge.published.iterdir())


def test_labels_that_were_compared_with_nothing_are_told(forge):
    forge.write()
    (note,) = forge.accept(check=True).notes
    assert "true labels are the submission's own" in note


def test_a_published_row_is_replaced_only_with_a_reason_and_kept(forge):
    forge.write()
    forge.accept()
    folder = forge.published / "toy"
    old = snapshot(folder)
    forge.row(lambda record: record["cost"].update(pretrain_seconds=123.0))
    forge.write()
    (problem,) = forge.accept().problems
    assert "--replace REASON" in problem and snapshot(folder) == old
    outcome = forge.accept(replace="the clock was wrong")
    assert not outcome.problems and len(outcome.replaced) == 1
    (kept,) = (folder / "history").glob("*.json")
    record = json.loads(kept.read_text())
    assert record["reason"] == "the clock was wrong" and len(record["replaced_on"]) == 10
    assert ledger.encode(record["row"]) not in (folder / forge.cell).read_bytes()
    assert json.loads((folder / forge.cell).read_text())["cost"]["pretrain_seconds"] == 123.0
    assert {verdict.state for verdict in verify.verify(folder, HIERARCHIES)} == {"equal"}


def test_a_crash_while_replacing_is_mended_by_doing_it_again(forge, monkeypatch):
    forge.write()
    forge.accept()
    folder = forge.published / "toy"
    forge.row(lambda record: record["cost"].update(pretrain_seconds=123.0))
    forge.write()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "insert", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        store, staged = Store(folder), Store(forge.folder / "again")
        shutil.copytree(folder, staged.folder)
        with pytest.raises(KeyboardInterrupt):
            ledger.replace(store, json.loads(forge.members[forge.cell]), b"", "why", "2027-01-01")
    assert not (folder / forge.cell).exists() and list((folder / "history").glob("*.npz"))
    assert not forge.accept().problems
    assert json.loads((folder / forge.cell).read_text())["cost"]["pretrain_seconds"] == 123.0


def test_a_cell_that_is_published_under_another_name_is_left_out(forge):
    """A baseline that everybody runs is one cell; a later name may not take its place."""
    forge.write()
    forge.accept()
    before = snapshot(forge.published)
    forge.manifest["name"] = "aaa"
    forge.row(lambda record: record["cost"].update(pretrain_seconds=123.0))
    forge.write()
    outcome = forge.accept(replace="mine is better")
    assert (outcome.problems, outcome.added, outcome.replaced) == ((), (), ())
    assert outcome.notes == ("2 rows are of cells that toy has: those stay, these are left out",)
    assert snapshot(forge.published) == before


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[2J", "x" * 301])
def test_reasons_are_one_line(forge, reason):
    forge.write()
    with pytest.raises(InputError, match="--replace takes a reason"):
        forge.accept(replace=reason)


def test_failed_cells_travel_with_their_reason(forge):
    forge.write()
    name = forge.cell.replace("cells", "failures")
    record = json.loads(forge.members.pop(forge.cell))
    del forge.members[next(n for n in forge.members if Path(name).stem in n)]
    failure = {
        "schema": record["schema"],
        "cell": record["cell"],
        "reason": "out of memory",
        "traceback": "",
        "seconds": 1,
    }
    forge.members[name] = json.dumps(failure).encode()
    forge.write()
    assert not forge.accept().problems
    (row,) = [row for row in Store(forge.published / "toy").rows() if row["status"] == "failed"]
    assert row["reason"] == "out of memory"
    forge.members[name] = json.dumps(failure | {"reason": "<b>\n"}).encode()
    forge.write()
    (problem,) = forge.accept().problems
    assert "reason" in problem


def test_rows_made_elsewhere_are_accepted_and_said_to_be(forge, tmp_path):
    import numpy as np
    import torch

    from benchmark import external, registry
    from benchmark.cell import Shelf
    from benchmark.submission import submit

    task, rng = registry.task("toy", HIERARCHIES), np.random.default_rng(0)
    classes = np.array(task.fine_classes * 8)
    path = tmp_path / "own.npz"
    arrays_of = {f"{part}_features": rng.normal(size=(len(classes), 5)).astype("f4") for part in ("train", "test")}
    np.savez(path, train_classes=classes, test_classes=classes, **arrays_of)
    made = external.from_features(path, task, "own", Shelf(tmp_path / "shelf"))
    store = Store(tmp_path / "external")
    store.open()
    store.publish(made.row, made.predictions)
    request = submit.Request(store.folder, "own", "none yet", "", tmp_path / "own.zip", datasets_dir=HIERARCHIES)
    assert isinstance(submit.submit(request), submit.Submitted)
    outcome = accept.accept(request.out, accept.Terms(forge.published, datasets_dir=HIERARCHIES))
    assert not outcome.problems and outcome.notes == (
        "features made elsewhere, true labels are the submission's own: toy own",
    )
    assert torch.get_num_threads() == 1


def test_every_field_of_predictions_has_a_form():
    fields = {field.name: field for field in dataclasses.fields(metrics.Predictions)}
    assert set(arrays.FORMS) == set(fields)
    for name, form in arrays.FORMS.items():
        assert form.optional == ("None" in str(fields[name].type)), name


def current_rows():
    """Stores and rows of all published rows of this metric version."""
    for folder in verify.folders([PUBLISHED]):
        store = Store(folder)
        for record in store.records():
            if record["cell"]["metric_version"] == METRIC_VERSION:
                yield store, record


def test_published_rows_keep_the_form_of_submitted_ones():
    count = 0
    for store, record in current_rows():
        key, digest = record["cell"]["key"], record["provenance"]["predictions_digest"]
        cell = inspection.claimed(rows.read((store.cells / f"{key}.json").read_bytes()), None)
        assert arrays.read(store.predictions_of(key, digest), cell.task)
        count += 1
    assert count > 20


@pytest.fixture
def real(tmp_path):
    """Three published rows as results of somebody's own."""
    store = Store(tmp_path / "real")
    store.open()
    for published, record in current_rows():
        wanted = (record["cell"]["task"], record["cell"]["seed"]) == ("digits-halves", 0)  # whose images are at hand
        if wanted and len(list(store.cells.glob("*.json"))) < 3:
            path = published.predictions_of(record["cell"]["key"], record["provenance"]["predictions_digest"])
            store.insert(record, path.read_bytes())
    store.merge()
    return store.folder


def test_published_rows_are_published_again_by_the_commands(real, tmp_path, monkeypatch, capsys):
    def c2f(*words):
        monkeypatch.setattr(sys, "argv", ["c2f", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    monkeypatch.chdir(tmp_path)
    code, out, _ = c2f("submit", real, "--name", "mine", "--paper", "arXiv:2701.00001")
    assert code == 0 and "mine.zip: 3 rows" in out
    code, out, _ = c2f("accept", "mine.zip", "--into", "p")
    assert code == 0 and "3 rows are sound; 3 added, 0 replaced" in out and "–" not in out
    for part in ("cells", "predictions", "results.csv", "scores.csv", "history.csv"):
        theirs, ours = tmp_path / "p" / "mine" / part, real / part
        assert (theirs.read_bytes() == ours.read_bytes()) if ours.is_file() else (snapshot(theirs) == snapshot(ours))
    code, out, err = c2f("accept", "p")
    assert code == 2 and "add --check" in err and err.count("\n") == 1
    (tmp_path / "p" / "mine" / "x").write_text("")
    code, out, err = c2f("accept", "p", "--check")
    assert code == 2 and "has no place among published rows" in out
    (tmp_path / "bad.zip").write_text("x")
    code, out, err = c2f("accept", "bad.zip")
    assert code == 2 and err.startswith("c2f: error: bad.zip: not a zip archive") and err.count("\n") == 1
    code, out, err = c2f("accept", "none.zip")
    assert code == 2 and "no such file" in err
    code, out, err = c2f("accept", "mine.zip", "--check", "--against", "HEAD")
    assert code == 2 and "--against" in err
