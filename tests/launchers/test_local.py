"""Worker processes: the rows of one process, kills that cost one attempt, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import HIERARCHIES

from benchmark import sweep
from benchmark.claims import Claims
from benchmark.errors import InputError
from benchmark.launchers.base import Setting
from benchmark.launchers.local import Local
from benchmark.metrics import METRICS
from benchmark.pretrain import Silent
from benchmark.schema import Recipe
from benchmark.store import Store
from benchmark.sweep import Grid

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")


class Watch:
    """A display that remembers; told of each epoch, it may act."""

    def __init__(self, on_epoch=lambda cell: None):
        self.finished, self.problems, self.epochs, self.on_epoch = [], [], 0, on_epoch

    def cell_started(self, cell):
        watch = self

        class Here(Silent):
            def epoch(self, record, epochs):
                watch.epochs += 1
                watch.on_epoch(cell)

        return Here()

    def cell_finished(self, cell, seconds, problem):
        self.finished.append(cell.key)
        self.problems.append(problem)


@pytest.fixture
def planned(tmp_path, toy_recipe):
    """(plan, store) of toy cells."""

    def make(seeds=(0, 1), methods=("baseline", "am_mixup"), recipe: Recipe = toy_recipe, name="out"):
        store = Store(tmp_path / name)
        store.open()
        grid = Grid(["toy"], [(method, {}) for method in methods], ["test_resnet"], seeds, recipe)
        return sweep.plan(grid, tmp_path, HIERARCHIES), store

    return make


def drive(plan, store, watch, workers=2, again=frozenset()):
    launcher = Local(Setting(store.folder, "cpu", again=again), workers)
    return launcher, sweep.drive(launcher, plan.cells, plan, watch)


def scores(store):
    return {row["key"]: [row[name] for name in METRICS] for row in store.rows()}


def long(recipe):
    return Recipe(**{**recipe.__dict__, "epochs": 1000})


def running(folder):
    """Processes that have a file of the folder as their cell: pids of the claims."""
    return {claim.cell["seed"]: claim.pid for claim in Claims(folder).running()}


def gone(pid):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


def test_two_workers_write_the_rows_of_one_process(planned):
    plan, store = planned()
    _, alone = planned(name="alone")
    sweep.run(plan.cells, plan, alone, torch.device("cpu"), Watch())
    watch = Watch()
    launcher, outcome = drive(plan, store, watch)
    assert (outcome.done, outcome.failed) == (4, 0) and launcher.hands == []
    assert sorted(watch.finished) == sorted(cell.key for cell in plan.cells)
    assert watch.epochs == 4 * 2
    assert repr(scores(store)) == repr(scores(alone))  # NaN equals NaN
    assert not list((store.folder / "running").iterdir())


def test_a_killed_workers_cell_is_run_again(planned):
    plan, store = planned(seeds=(0,))
    victims = []

    def kill_once(cell):
        if not victims:
            victims.append(running(store.folder)[0])
            os.kill(victims[0], signal.SIGKILL)

    _, outcome = drive(plan, store, Watch(kill_once))
    assert (outcome.done, outcome.failed) == (2, 0) and len(victims) == 1
    assert len(list(store.rows())) == 2


def test_a_cell_that_is_always_killed_fails_and_the_rest_goes_on(planned, toy_recipe):
    plan, store = planned(seeds=(0, 1), methods=("baseline",), recipe=long(toy_recipe))
    short, _ = planned(seeds=(2, 3), methods=("baseline",))
    deaths = []

    def kill(cell):
        pid = running(store.folder).get(cell.seed)
        if cell.recipe.epochs == 1000 and pid and pid not in deaths:
            deaths.append(pid)
            os.kill(pid, signal.SIGKILL)

    watch, launcher = Watch(kill), Local(Setting(store.folder, "cpu"), 2)
    outcome = sweep.drive(launcher, [*plan.cells, *short.cells], plan, watch)
    assert (outcome.done, outcome.failed) == (2, 2) and len(deaths) == 4
    failed = list(store.failed_records())
    assert {record["kind"] for record in failed} == {"killed"}
    assert all("2 times its process was ended by SIGKILL" in record["reason"] for record in failed)
    assert all(record["host"] for record in failed)


def test_a_diverging_cell_fails_as_nan_and_is_not_tried_again(planned, toy_recipe):
    plan, store = planned(seeds=(0,), methods=("baseline",), recipe=Recipe(**{**toy_recipe.__dict__, "lr": 1e30}))
    watch = Watch()
    _, outcome = drive(plan, store, watch)
    (record,) = store.failed_records()
    assert outcome.failed == 1 and record["kind"] == "nan" and record["seconds"] > 0
    assert watch.problems == [record["reason"]] and "FloatingPointError" in record["traceback"]


def test_cells_that_another_launch_runs_are_waited_for(planned):
    plan, store = planned(seeds=(0,))
    claim = Claims(store.folder).take(plan.cells[0])
    started = []

    class Slow(Watch):
        def cell_finished(self, cell, seconds, problem):
            super().cell_finished(cell, seconds, problem)
            started.append(cell.key)
            claim.release()  # the other launch gives up

    _, outcome = drive(plan, store, Slow())
    assert started == [plan.cells[1].key, plan.cells[0].key] and outcome.done == 2


def test_a_folder_that_cannot_be_written_any_more_ends_the_sweep_in_one_line(planned):
    plan, store = planned(seeds=(0,))

    def break_it(cell):
        if store.cells.is_dir():
            store.cells.rmdir()
            store.cells.write_text("not a folder")

    with pytest.raises(InputError, match="cannot be written"):
        drive(plan, store, Watch(break_it))


@pytest.fixture
def program(tmp_path):
    """The program at work on two cells of a thousand epochs, as a child; gives it and the pids of its workers."""
    children = []

    def start(*more):
        options = ["--backbones", "test_resnet", "--recipe", "quickstart", "--set", "recipe.epochs=1000"]
        command = [sys.executable, ROOT / "run_benchmark.py", "run", "--tasks", "toy", "--datasets-dir", HIERARCHIES]
        command += [*options, "--methods", "baseline,mixup,cutmix", "--seeds", "0", "--out", tmp_path / "out", *more]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        children.append(child)
        until = time.monotonic() + 120
        # Until both train: what is stopped before has no state to keep.
        while len(found := [claim for claim in Claims(tmp_path / "out").running() if claim.progress]) < 2:
            assert child.poll() is None and time.monotonic() < until, child.communicate()[0]
            time.sleep(0.05)
        return child, [claim.pid for claim in found]

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_stopping_the_program_keeps_the_state_of_its_workers_and_frees_their_cells(program, tmp_path, number, code):
    child, pids = program("--workers", "2")
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == code and "Stopped: 0 of 3 cells are stored" in out
    assert all(gone(pid) for pid in pids)
    assert not list((tmp_path / "out" / "running").iterdir())
    assert len({path.name.partition(".")[0] for path in (tmp_path / "out" / "checkpoints").iterdir()}) == 2


def test_killing_the_program_leaves_no_worker_behind(program, tmp_path):
    child, pids = program("--workers", "2")
    child.kill()
    assert all(gone(pid) for pid in pids)
    assert not [claim for claim in Claims(tmp_path / "out").running() if claim.alive]
