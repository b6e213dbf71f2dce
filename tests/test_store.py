"""Rows on disk: whole or absent, first writer wins, merged exactly, and every way a folder can be wrong."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchmark import schema
from benchmark import store as store_module
from benchmark.errors import InputError
from benchmark.schema import Cost, Provenance, Row, Scores, Selection
from benchmark.store import Store


def make_row(cell, coarse_acc=0.5, margin_cv=math.nan, nc1_fine=math.inf):
    values = dict.fromkeys(schema.SCORE_COLUMNS, 0.25) | {
        "coarse_acc": coarse_acc,
        "margin_cv": margin_cv,
        "nc1_fine": nc1_fine,
    }
    kinds = {"str": "", "bool": False, "int": 2}
    provenance = {name: kinds[kind] for name, kind in Provenance.__annotations__.items()}
    history = ({"epoch": 0, "loss": 1.5, "lam": 1.0}, {"epoch": 1, "loss": 1.0, "lam": 0.7})
    return Row(
        cell, Scores(**values), Selection(0.5, 0.4, 0.01), Cost(1, 2, 3, 4, 5), Provenance(**provenance), history
    )


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "results")
    opened.open()
    return opened


def read(path: Path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_survives_the_round_trip(store, toy_cell):
    cell = toy_cell("am_mixup")
    assert not store.has(cell.key)
    store.publish(make_row(cell, coarse_acc=1 / 3))
    store.merge()
    assert store.has(cell.key)
    (row,) = read(store.folder / "results.csv")
    assert tuple(row) == schema.RESULT_COLUMNS
    assert float(row["coarse_acc"]) == 1 / 3  # every bit
    assert row["margin_cv"] == "" and float(row["nc1_fine"]) == math.inf
    assert (row["status"], row["method"]) == ("ok", "am_mixup")
    epochs = read(store.folder / "history.csv")
    assert [(e["epoch"], e["loss"], e["lam"]) for e in epochs] == [("0", "1.5", "1.0"), ("1", "1.0", "0.7")]


def test_the_first_writer_wins(store, toy_cell):
    store.publish(make_row(toy_cell(), coarse_acc=0.1))
    store.publish(make_row(toy_cell(), coarse_acc=0.9))
    assert [row["coarse_acc"] for row in store.rows()] == [0.1]


def test_a_failure_is_kept_until_a_success_outranks_it(store, toy_cell):
    cell = toy_cell()
    store.fail(cell, "FloatingPointError: loss became nan", "trace", 1.0)
    store.fail(cell, "second reason", "trace", 1.0)
    store.merge()
    (row,) = read(store.folder / "results.csv")
    assert store.failed(cell.key)
    assert (row["status"], row["reason"], row["coarse_acc"]) == ("failed", "second reason", "")
    store.publish(make_row(cell))
    store.merge()
    assert not store.failed(cell.key)
    assert [row["status"] for row in read(store.folder / "results.csv")] == ["ok"]


def test_rows_are_sorted_and_merging_twice_changes_nothing(store, toy_cell):
    for seed in (10, 9, 0):
        for method in ("mixup", "baseline"):
            store.publish(make_row(toy_cell(method, seed=seed)))
    store.merge()
    first = (store.folder / "results.csv").read_bytes()
    store.merge()
    assert (store.folder / "results.csv").read_bytes() == first
    rows = read(store.folder / "results.csv")
    assert [(r["method"], int(r["seed"])) for r in rows] == sorted((r["method"], int(r["seed"])) for r in rows)


def test_nothing_half_written_is_left(store, toy_cell):
    class Unwritable:
        pass

    with pytest.raises(TypeError):
        store_module._publish(store.cells / "x.json", {"a": 1, "b": Unwritable()})
    assert list(store.cells.iterdir()) == []


def test_without_hard_links_a_row_is_renamed_into_place(store, toy_cell, monkeypatch):
    def refuse(self, target):
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store.publish(make_row(toy_cell()))
    assert store.has(toy_cell().key)
    assert len(list(store.cells.iterdir())) == 1


@pytest.mark.parametrize("text", ["", '{"schema": 1', "[]", "null", '{"schema": 1, "cell": {"key": "other"}}'])
def test_a_damaged_row_is_named_with_its_remedy(store, text):
    (store.cells / "abc.json").write_text(text)
    with pytest.raises(InputError, match=r"abc\.json: not .* delete it"):
        store.merge()


def test_another_schema_version_is_refused(store, monkeypatch):
    monkeypatch.setattr(store_module, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    with pytest.raises(InputError, match=r"schema version 1, this program writes 2; .*--out"):
        store.open()


def test_a_folder_that_is_not_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no valid store\.json"):
        Store(tmp_path).check_schema()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/results cannot be written .*--out"):
        Store(tmp_path / "file" / "results").open()


def test_a_full_disk_loses_nothing(store, toy_cell, monkeypatch):
    store.publish(make_row(toy_cell()))
    store.merge()
    before = {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"No space left on device.*free some space"):
        store.publish(make_row(toy_cell("mixup")))
    assert {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()} == before


def test_old_drafts_are_swept_and_young_ones_left(store):
    old, young = store.cells / ".a.json.1", store.cells / ".b.json.2"
    for draft in (old, young):
        draft.write_text("")
    os.utime(old, (0, 0))
    store.open()
    assert not old.exists() and young.exists()


def test_a_writer_killed_at_any_moment_leaves_whole_rows_or_none(tmp_path):
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from benchmark.store import _publish
        folder = Path(sys.argv[1])
        print("ready", flush=True)
        for i in range(10**6):
            _publish(folder / f"{i}.json", {"i": i, "filler": "x" * 20000})
    """)
    for delay in (0.01, 0.03, 0.06):
        folder = tmp_path / str(delay)
        folder.mkdir()
        with subprocess.Popen([sys.executable, "-c", script, folder], stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            try:
                writer.wait(delay)
            except subprocess.TimeoutExpired:
                writer.send_signal(signal.SIGKILL)
        for path in folder.glob("[0-9]*.json"):
            assert json.loads(path.read_text())["i"] == int(path.stem)
