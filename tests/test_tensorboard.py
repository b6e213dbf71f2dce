"""TensorBoard's own reader finds what history.csv says."""

import sys

import pytest
from conftest import HIERARCHIES

pytest.importorskip("tensorboard", reason="an extra: pip install 'c2f-benchmark[tensorboard]'")
import torch

from benchmark import sweep, tensorboard
from benchmark.errors import InputError
from benchmark.pretrain import Silent
from benchmark.store import Store
from benchmark.sweep import Grid


class Watch:
    def __init__(self):
        self.finished = []

    def cell_started(self, cell):
        return Silent()

    def cell_finished(self, cell, seconds, problem):
        self.finished.append((cell.key, problem))


def test_every_figure_of_every_epoch_is_logged(toy_recipe, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store = Store(tmp_path / "out")
    store.open()
    plan = sweep.plan(Grid(["toy"], [("am_mixup", {})], ["test_resnet"], [7], toy_recipe), tmp_path, HIERARCHIES)
    watch = Watch()
    sweep.run(plan.cells, plan, store, torch.device("cpu"), tensorboard.Logged(watch, tmp_path / "tb"))
    (cell,) = plan.cells
    assert watch.finished == [(cell.key, "")]
    found = EventAccumulator(str(tmp_path / "tb" / "toy" / "test_resnet" / f"am_mixup-7-{cell.key}")).Reload()
    history = store.record(cell.key)["history"]
    assert set(found.Tags()["scalars"]) == set(history[0]) - {"epoch"} and "lam" in history[0]
    for name in found.Tags()["scalars"]:
        logged = [(event.step, event.value) for event in found.Scalars(name)]
        expected = [(record["epoch"], float(torch.tensor(record[name]))) for record in history]
        assert logged == expected, name  # TensorBoard keeps float32


def test_a_cell_that_never_trains_leaves_no_run(toy_cell, tmp_path):
    logged = tensorboard.Logged(Watch(), tmp_path / "tb")
    logged.cell_started(toy_cell())
    logged.cell_finished(toy_cell(), 1.0, "InputError: no")
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_another_launch_ran_was_never_begun_here(toy_cell, tmp_path):
    watch = Watch()
    tensorboard.Logged(watch, tmp_path / "tb").cell_finished(toy_cell(), 0.0, "")
    assert watch.finished == [(toy_cell().key, "")]


def test_a_cell_whose_worker_was_killed_begins_twice(toy_cell, tmp_path):
    logged = tensorboard.Logged(Watch(), tmp_path / "tb")
    logged.cell_started(toy_cell()).epoch({"epoch": 0, "loss": 1.0}, 2)
    logged.cell_started(toy_cell()).epoch({"epoch": 0, "loss": 1.0}, 2)
    logged.cell_finished(toy_cell(), 1.0, "")
    assert len(list(tmp_path.glob("tb/**/events.*"))) == 2


def test_without_the_library_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'c2f-benchmark\[tensorboard\]'"):
        tensorboard.check()
