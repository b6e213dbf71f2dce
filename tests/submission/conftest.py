"""Two toy rows, and the honest archive of them."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import HIERARCHIES
from submission.forge import Forge

from benchmark import sweep
from benchmark.pretrain import Silent
from benchmark.schema import Recipe
from benchmark.store import Store
from benchmark.submission import submit
from benchmark.sweep import Grid


class _Quiet:
    def cell_started(self, cell):
        return Silent()

    def cell_finished(self, cell, seconds, problem):
        assert not problem


@pytest.fixture(scope="session")
def made_rows(tmp_path_factory) -> Path:
    """A results folder of two methods, one seed."""
    folder = tmp_path_factory.mktemp("made") / "toy"
    store = Store(folder)
    store.open()
    recipe = Recipe(name="quickstart+", title="", epochs=2, batch_size=16, lr=0.05, policy="crop", precision="fp32")
    grid = Grid(["toy"], [("baseline", {}), ("mixup", {})], ["test_resnet"], [0], recipe)
    plan = sweep.plan(grid, folder, HIERARCHIES)
    sweep.run(plan.cells, plan, store, torch.device("cpu"), _Quiet())
    store.merge()
    return folder


@pytest.fixture(scope="session")
def honest(made_rows, tmp_path_factory) -> Path:
    """Their archive."""
    path = tmp_path_factory.mktemp("honest") / "toy.zip"
    request = submit.Request(made_rows, "toy", "arXiv:2701.00001", "", path, datasets_dir=HIERARCHIES)
    assert isinstance(submit.submit(request), submit.Submitted)
    return path


@pytest.fixture
def results(made_rows, tmp_path) -> Path:
    """A copy of the results that may be damaged."""
    return Path(shutil.copytree(made_rows, tmp_path / "results" / "toy"))


@pytest.fixture
def forge(honest, tmp_path) -> Forge:
    """The archive, to be forged."""
    (tmp_path / "published").mkdir()
    return Forge(honest, tmp_path)
