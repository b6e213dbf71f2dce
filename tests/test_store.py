"""Rows on disk: whole or absent, first writer wins, merged exactly, and every way a folder can be wrong."""

import csv
import dataclasses
import json
import math
import os
import platform
import signal
import subprocess
import sys
import textwrap
from hashlib import sha256
from pathlib import Path

import pytest

from benchmark import schema
from benchmark import store as store_module
from benchmark.errors import InputError
from benchmark.metrics import METRICS, Figure
from benchmark.schema import Cost, Provenance, Row, Selection
from benchmark.store import Store

PREDICTIONS = b"packed"


def make_row(cell, coarse_acc=0.5, margin_cv=math.nan, nc1_fine=math.inf):
    values = dict.fromkeys(METRICS, 0.25) | {"coarse_acc": coarse_acc, "margin_cv": margin_cv, "nc1_fine": nc1_fine}
    figures = [Figure(name, value, low=value - 1, high=value + 1) for name, value in values.items()]
    figures += [
        Figure("rankme", 3.5, split="train"),
        Figure("rankme", 2.5, layer="stage 1"),
        Figure("fine_knn_acc", 0.125, superclass="vehicles, large"),
        Figure("alignment_fine", 0.5, untrained=0.75, shuffled=1.5),
    ]
    kinds = {"str": "", "bool": False, "int": 2}
    provenance = {name: kinds[kind] for name, kind in Provenance.__annotations__.items()}
    history = ({"epoch": 0, "loss": 1.5, "lam": 1.0}, {"epoch": 1, "loss": 1.0, "lam": 0.7})
    made = Provenance(**(provenance | {"predictions_digest": sha256(PREDICTIONS).hexdigest()}))
    return Row(cell, tuple(figures), Selection(0.5, 0.4, 0.01), Cost(1, 2, 0, 3, 4, 5), made, history)


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
    store.publish(make_row(cell, coarse_acc=1 / 3), PREDICTIONS)
    store.merge()
    assert store.has(cell.key)
    (row,) = read(store.folder / "results.csv")
    assert tuple(row) == schema.RESULT_COLUMNS
    assert float(row["coarse_acc"]) == 1 / 3  # every bit
    assert row["margin_cv"] == "" and float(row["nc1_fine"]) == math.inf
    assert float(row["alignment_fine_over_untrained"]) == -0.25 and row["nc1_fine_over_untrained"] == ""
    assert (row["status"], row["method"]) == ("ok", "am_mixup")
    epochs = read(store.folder / "history.csv")
    assert [(e["epoch"], e["loss"], e["lam"]) for e in epochs] == [("0", "1.5", "1.0"), ("1", "1.0", "0.7")]


def test_a_class_may_be_called_infinity(store, toy_cell):
    row = make_row(toy_cell())
    figure = Figure("fine_knn_acc", math.inf, superclass="inf", layer="-inf")
    store.publish(dataclasses.replace(row, figures=(figure,)), PREDICTIONS)
    (found,) = store_module.figures(store.record(toy_cell().key))
    assert (found.value, found.superclass, found.layer) == (math.inf, "inf", "-inf")


def test_every_figure_is_a_line_of_the_long_table(store, toy_cell):
    store.publish(make_row(toy_cell()), PREDICTIONS)
    store.merge()
    lines = read(store.folder / "scores.csv")
    assert len(lines) == len(METRICS) + 4
    assert {line["key"] for line in lines} == {toy_cell().key}
    found = {(line["metric"], line["split"], line["layer"], line["superclass"]): line for line in lines}
    assert found["rankme", "train", "", ""]["value"] == "3.5"
    assert found["rankme", "test", "stage 1", ""]["value"] == "2.5"
    assert found["fine_knn_acc", "test", "", "vehicles, large"]["value"] == "0.125"
    assert (found["rankme", "test", "", ""]["low"], found["rankme", "test", "", ""]["high"]) == ("-0.75", "1.25")
    last = found["alignment_fine", "test", "", ""]
    assert (last["untrained"], last["over_untrained"], last["over_shuffled"]) == ("0.75", "-0.25", "-1.0")


def test_figures_survive_the_round_trip(store, toy_cell):
    row = make_row(toy_cell(), coarse_acc=1 / 3)
    store.publish(row, PREDICTIONS)
    found = store_module.figures(store.record(row.cell.key))
    assert [repr(figure) for figure in found] == [repr(figure) for figure in row.figures]  # NaN is NaN, inf is inf


def test_the_first_writer_wins(store, toy_cell):
    first, second = make_row(toy_cell(), coarse_acc=0.1), make_row(toy_cell(), coarse_acc=0.9)
    others = b"other predictions"
    made = dataclasses.replace(second.provenance, predictions_digest=sha256(others).hexdigest())
    store.publish(first, PREDICTIONS)
    store.publish(dataclasses.replace(second, provenance=made), others)
    assert [row["coarse_acc"] for row in store.rows()] == [0.1]
    (left,) = store.predictions.iterdir()  # those of the row that stayed
    assert left == store.predictions_of(toy_cell().key, first.provenance.predictions_digest)
    assert left.read_bytes() == PREDICTIONS


def test_merged_tables_that_were_changed_are_told(store, toy_cell):
    store.publish(make_row(toy_cell()), PREDICTIONS)
    store.merge()
    assert store.stale() == []
    table = store.folder / "results.csv"
    table.write_text(table.read_text().replace("0.25", "0.52"))
    (store.folder / "history.csv").unlink()
    assert store.stale() == ["results.csv", "history.csv"]


def test_a_failure_is_kept_until_a_success_outranks_it(store, toy_cell):
    cell = toy_cell()
    store.fail(cell, "FloatingPointError: loss became nan", "trace", 1.0)
    store.fail(cell, "second reason", "trace", 1.0)
    store.merge()
    (row,) = read(store.folder / "results.csv")
    assert store.failed(cell.key)
    assert (row["status"], row["reason"], row["coarse_acc"]) == ("failed", "second reason", "")
    store.publish(make_row(cell), PREDICTIONS)
    store.merge()
    assert not store.failed(cell.key)
    assert [row["status"] for row in read(store.folder / "results.csv")] == ["ok"]


def test_rows_are_sorted_and_merging_twice_changes_nothing(store, toy_cell):
    for seed in (10, 9, 0):
        for method in ("mixup", "baseline"):
            store.publish(make_row(toy_cell(method, seed=seed)), PREDICTIONS)
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
        store_module.write_once(store.cells / "x.json", Unwritable())
    assert list(store.cells.iterdir()) == []


def test_without_hard_links_a_row_is_renamed_into_place(store, toy_cell, monkeypatch):
    def refuse(self, target):
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store.publish(make_row(toy_cell()), PREDICTIONS)
    assert store.has(toy_cell().key)
    assert len(list(store.cells.iterdir())) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", '{"schema": 2', "[]", "null", '{"schema": 2, "cell": {"key": "other"}}'),
        '{"schema": 2, "cell": {"key": "abc"}, "figures": [{"metric": "coarse_acc"}]}',
        '{"schema": 2, "cell": {"key": "abc"}, "figures": [{"metric": "coarse_acc", "value": 1, "more": 2}]}',
        '{"schema": 2, "cell": {"key": "abc"}, "figures": 7}',
        '{"schema": 2, "cell": {"key": "abc"}}',
    ],
)
def test_a_damaged_row_is_named_with_its_remedy(store, text):
    (store.cells / "abc.json").write_text(text)
    with pytest.raises(InputError, match=r"abc\.json: not .* delete it"):
        store.merge()


def test_damaged_rows_are_set_aside_and_run_again(store, toy_cell):
    whole, zeroed = toy_cell(), toy_cell("mixup")
    for each in (whole, zeroed):
        store.publish(make_row(each), PREDICTIONS)
    path = store.cells / f"{zeroed.key}.json"
    path.write_bytes(bytes(path.stat().st_size))
    (line,) = store.set_aside_damaged()
    assert line.startswith(f"{path}: not a whole row") and path.with_name(f"{path.name}.damaged").exists()
    assert store.has(whole.key) and not store.has(zeroed.key)
    store.publish(make_row(zeroed), PREDICTIONS)
    store.merge()
    assert len(list(store.rows())) == 2 and store.set_aside_damaged() == []


def test_a_row_that_cannot_be_read_is_not_taken_for_a_damaged_one(store, toy_cell, monkeypatch):
    store.publish(make_row(toy_cell()), PREDICTIONS)

    def refuse(path, *args, **kwargs):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", refuse)
        with pytest.raises(InputError, match=r"cannot be read \(Input/output error\)"):
            store.set_aside_damaged()
    assert store.has(toy_cell().key) and store.set_aside_damaged() == []


def test_another_schema_version_is_refused(store, monkeypatch):
    monkeypatch.setattr(store_module, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    with pytest.raises(InputError, match=r"schema version 2, this program writes 3; .*--out"):
        store.open()


def test_a_folder_that_is_not_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no valid store\.json"):
        Store(tmp_path).check_schema()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/results cannot be written .*--out"):
        Store(tmp_path / "file" / "results").open()


def test_a_full_disk_loses_nothing(store, toy_cell, monkeypatch):
    store.publish(make_row(toy_cell()), PREDICTIONS)
    store.merge()
    before = {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"No space left on device.*free some space"):
        store.publish(make_row(toy_cell("mixup")), PREDICTIONS)
    assert {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()} == before


def test_drafts_of_the_dead_are_swept_and_those_of_the_living_left(store):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    here = platform.node().partition(".")[0]
    old, dead = store.cells / ".a.json.1", store.folder / f".results.csv.{here}-{process.pid}-0"
    young, ours = store.cells / ".b.json.2", store_module.draft_of(store.predictions / "c.npz")
    elsewhere = store.failures / f".d.json.{here}x-{process.pid}-0"
    for draft in (old, dead, young, ours, elsewhere):
        draft.write_text("")
    os.utime(old, (0, 0))
    store.open()
    assert [draft.exists() for draft in (old, dead, young, ours, elsewhere)] == [False, False, True, True, True]


def test_a_writer_killed_at_any_moment_leaves_whole_rows_or_none(tmp_path):
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from benchmark.store import encode, write_once
        folder = Path(sys.argv[1])
        print("ready", flush=True)
        for i in range(10**6):
            write_once(folder / f"{i}.json", encode({"i": i, "filler": "x" * 20000}))
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
