"""How far a folder is: every kind of cell counted once, progress and time left, and a code that tells."""

import io
import json
import os

import pytest
import torch
from conftest import HIERARCHIES
from rich.console import Console

from benchmark import console, status, sweep
from benchmark.claims import Claims, Running
from benchmark.errors import InputError
from benchmark.events import Log
from benchmark.launchers.base import Setting
from benchmark.launchers.in_process import InProcess
from benchmark.pretrain import Silent
from benchmark.store import Store
from benchmark.sweep import Grid


class Quiet:
    def cell_started(self, cell):
        return Silent()

    def cell_finished(self, cell, seconds, problem):
        pass


@pytest.fixture
def planned(tmp_path, toy_recipe):
    """Four toy cells, noted as a launch's."""
    store = Store(tmp_path / "out")
    store.open()
    grid = Grid(["toy"], [("baseline", {}), ("mixup", {})], ["test_resnet"], (0, 1), toy_recipe)
    plan = sweep.plan(grid, tmp_path, HIERARCHIES)
    status.note(store, plan.cells)
    return plan, store


def finish(plan, store, cells):
    sweep.run(cells, plan, store, torch.device("cpu"), Quiet())


def fail(store, cell, kind="nan"):
    store.fail(cell, "FloatingPointError: loss became nan", "", 3.0, kind)


def test_every_cell_is_of_one_kind(planned):
    plan, store = planned
    done, failing, running, missing = plan.cells
    finish(plan, store, [done])
    fail(store, failing)
    Claims(store.folder).take(running)
    found = status.read(store.folder)
    assert (found.planned, found.done) == (4, 1)
    assert [claim.key for claim in found.running] == [running.key]
    assert [record["cell"]["key"] for record in found.failed] == [failing.key]
    assert [(cell["method"], cell["seed"]) for cell in found.missing] == [(missing.method, missing.seed)]


def test_the_exit_code_tells(planned):
    plan, store = planned
    assert status.read(store.folder).exit_code == 1  # missing
    claim = Claims(store.folder).take(plan.cells[0])
    assert status.read(store.folder).exit_code == 3
    claim.release()
    finish(plan, store, plan.cells)
    assert status.read(store.folder).exit_code == 0
    fail(store, plan.cells[0])  # outranked by its row
    assert status.read(store.folder).exit_code == 0


def test_a_failed_cell_that_runs_again_is_running(planned):
    plan, store = planned
    fail(store, plan.cells[0])
    Claims(store.folder).take(plan.cells[0])
    found = status.read(store.folder)
    assert len(found.running) == 1 and found.failed == ()


def test_the_claim_of_a_dead_launch_is_not_running(planned):
    plan, store = planned
    Claims(store.folder).take(plan.cells[0])
    path = store.folder / "running" / f"{plan.cells[0].key}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another"}))
    os.utime(path, (path.stat().st_mtime - 1000,) * 2)
    found = status.read(store.folder)
    assert found.running == () and len(found.missing) == 4


def test_time_left_is_at_the_speed_so_far():
    progress = {"images": 25.0, "total": 100.0, "epoch": 1, "epochs": 4, "seconds": 10.0}
    running = Running("key", {}, "host", 1, seconds=20.0, silent=4.0, progress=progress, alive=True)
    assert status.remaining_seconds(running) == pytest.approx(10 / 25 * 75 - 4)
    early = Running("key", {}, "host", 1, seconds=20.0, silent=4.0, progress={}, alive=True)
    assert status.remaining_seconds(early) is None


def test_a_folder_without_a_noted_launch_shows_what_it_has(planned):
    plan, store = planned
    finish(plan, store, plan.cells[:1])
    fail(store, plan.cells[1])
    (store.folder / "planned.json").unlink()
    found = status.read(store.folder)
    assert (found.planned, found.done, len(found.failed), found.missing) == (2, 1, 1, ())


@pytest.mark.parametrize("content", ["", "[]", '{"cells": 3}', "\0\0"])
def test_a_noted_launch_that_is_not_whole_is_told_in_one_line(planned, content):
    _, store = planned
    (store.folder / "planned.json").write_text(content)
    with pytest.raises(InputError, match=r"planned.json: not whole"):
        status.read(store.folder)


def test_what_is_shown(planned):
    plan, store = planned
    store.fail(plan.cells[0], "killed: 2 times", "", 61.0, "killed", store.folder / "logs" / "x.log")
    claim = Claims(store.folder).take(plan.cells[1])
    claim.beat({"images": 1.0, "total": 4.0, "epoch": 0, "epochs": 2, "seconds": 100.0})
    screen = Console(width=80, file=io.StringIO())
    console.show_status(screen, store.folder, status.read(store.folder))
    text = screen.file.getvalue()
    assert "4 cells: 0 done, 1 running, 1 failed, 2 missing." in text
    assert 'toy mixup {"alpha": 1.0} test_resnet toy seed 0' in text
    assert "seed 0: 25% after 0:00:0" in text and ("0:05:00 of" in text or "0:04:59 of" in text)
    assert "failed, killed: 1" in text and "killed: 2 times (61 s; host" in text and "log logs/x.log)" in text


def test_cells_that_ran_elsewhere_are_counted_and_not_run(planned):
    plan, store = planned
    finish(plan, store, plan.cells[:2])
    outcome = sweep.drive(InProcess(Setting(store.folder, "cpu")), plan.cells, plan, Quiet())
    assert outcome.done == 4 and status.read(store.folder).done == 4


def test_a_log_has_a_line_for_every_event(planned, tmp_path):
    plan, store = planned
    path = tmp_path / "log.jsonl"
    with Log(path, Quiet()) as log:
        sweep.drive(InProcess(Setting(store.folder, "cpu")), plan.cells[:1], plan, log)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "cell_started",
        "training_started",
        "epoch",
        "epoch",
        "cell_finished",
    ]
    assert {line["key"] for line in lines} == {plan.cells[0].key}
    assert lines[0]["method"] == "baseline" and lines[-1]["problem"] == "" and lines[-1]["seconds"] > 0
    assert [line["epoch"] for line in lines[2:4]] == [0, 1]


def test_a_log_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"--log-json .* cannot be written"):
        Log(tmp_path / "no" / "log.jsonl", Quiet())
