"""What a grid will cost: counts worked by hand, sizes compared with files that are written, and what cannot run."""

import dataclasses
import math

import pytest
import torch
from conftest import HIERARCHIES

from benchmark import cell, data, plan, registry, sweep
from benchmark.checkpoint import Desk, Signals
from benchmark.data.cache import Unwatched
from benchmark.errors import InputError
from benchmark.pretrain import Silent
from benchmark.schema import Measures
from benchmark.store import Store
from benchmark.sweep import Grid

CPU = torch.device("cpu")


@pytest.fixture
def grid(toy_recipe):
    return Grid(["toy"], [("baseline", {}), ("mixup", {})], ["test_resnet"], [0, 1], toy_recipe)


@pytest.fixture
def forecast(grid, tmp_path):
    """Of the grid with changes, at 100 images/s unless asked otherwise."""

    def make(rate=100.0, keep_features=False, **changes):
        setting = plan.Setting(tmp_path, HIERARCHIES, CPU, rate, keep_features)
        return plan.forecast(dataclasses.replace(grid, **changes), Store(tmp_path / "out"), setting, Unwatched())

    return make


class Quiet:
    def cell_started(self, cell):
        return Silent()

    def cell_finished(self, cell, seconds, problem):
        assert not problem


def run_some(grid, tmp_path, count, keep_features=False):
    store = Store(tmp_path / "out")
    store.open()
    planned = sweep.plan(grid, tmp_path, HIERARCHIES)
    sweep.run(planned.cells[:count], planned, store, CPU, Quiet(), keep_features)
    return store


def test_the_cost_is_what_the_counts_say(forecast, toy_task, toy_images, tmp_path):
    found = forecast()
    loaded = data.load(toy_task, toy_images)
    train, val, test = (len(split.labels) for split in (loaded.train, loaded.val, loaded.test))
    # 2 epochs of training; forward passes at a third: train and val after each epoch, all splits once and test twice
    seconds = (2 * train + (2 * (train + val) + train + val + 2 * test) / 3) / 100
    assert [(line.method, line.cells) for line in found.lines] == [("baseline", 2), ("mixup", 2)]
    assert [line.seconds for line in found.lines] == pytest.approx([seconds, seconds])
    assert found.seconds == pytest.approx(4 * seconds) and found.cells == 4 and found.problems == ()
    assert math.isnan(found.score_seconds) and math.isnan(found.memory_mb)
    assert not (tmp_path / "out").exists()
    tuned = forecast(measures=Measures(fine_tune=True))
    assert tuned.seconds - found.seconds == pytest.approx(4 * (10 * train + 10 * (train + val) / 3) / 100)


def test_what_is_done_costs_nothing_and_tells_what_scoring_takes(forecast, grid, tmp_path):
    before = forecast()
    store = run_some(grid, tmp_path, 1)
    (record,) = store.records()
    found = forecast()
    assert (found.done, found.cells, found.failed) == (1, 3, 0)
    assert found.score_seconds == record["cost"]["score_seconds"]
    assert found.seconds == pytest.approx(before.seconds * 3 / 4 + 3 * found.score_seconds)


def test_failed_cells_are_not_run_again_unless_asked(forecast, grid, tmp_path):
    store = Store(tmp_path / "out")
    store.open()
    store.fail(sweep.plan(grid, tmp_path, HIERARCHIES).cells[0], "reason", "trace", 1.0)
    assert (forecast().failed, forecast().cells) == (1, 3)


def test_each_distinct_training_is_timed_once(forecast, monkeypatch):
    monkeypatch.setattr(plan, "SECONDS", 0.0)
    trained = []
    step = plan.pretrain.train_step
    monkeypatch.setattr(
        plan.pretrain, "train_step", lambda trainer, *rest: trained.append(trainer) or step(trainer, *rest)
    )
    found = forecast(rate=0.0)
    assert [type(trainer.method).__name__ for trainer in trained] == ["Baseline"] * 4 + ["Mixup"] * 4
    assert all(line.images_per_second > 0 for line in found.lines) and found.memory_mb > 0


def test_what_cannot_run_is_named_and_the_rest_is_costed(forecast):
    methods = [("baseline", {}), ("transmix", {})]
    found = forecast(tasks=["toy", "cifar10-vehicles-animals"], methods=methods)
    assert [(line.task, line.method) for line in found.lines] == [("toy", "baseline")]
    assert len(found.problems) == 2
    assert found.problems[0].startswith("transmix cannot train test_resnet: ")
    assert found.problems[1].startswith("cifar10-vehicles-animals on test_resnet: CIFAR10: no data_batch_1")


@pytest.mark.parametrize("changes", [{"methods": [("mixpu", {})]}, {"backbones": ["resnet18-thn"]}])
def test_a_name_nobody_knows_is_refused(forecast, changes):
    with pytest.raises(InputError, match="did you mean"):
        forecast(**changes)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_sizes_are_those_of_the_files(optimizer, forecast, grid, toy_recipe, toy_images, tmp_path):
    recipe = dataclasses.replace(toy_recipe, optimizer=optimizer, lr=0.001)
    small = {"recipe": recipe, "methods": [("baseline", {})], "seeds": [0]}
    without, with_features = forecast(**small), forecast(keep_features=True, **small)
    (one,) = sweep.plan(dataclasses.replace(grid, **small), tmp_path, HIERARCHIES).cells
    desk = Desk(tmp_path / "checkpoints", 1e-9, Signals())
    shelf = cell.Shelf(tmp_path / "features", keep=True)
    cell.run_cell(one, toy_images, CPU, Silent(), shelf, desk)
    written = [path.stat().st_size for path in desk.folder.iterdir()]
    images = len(data.load(one.task, toy_images).test.labels)
    estimated = without.disk_bytes - plan.ROW_BYTES - plan.PREDICTION_BYTES * images
    assert estimated == pytest.approx(3 * written[0], rel=0.1)  # random streams and buffers are left out
    kept = shelf.path(one).stat().st_size
    assert with_features.disk_bytes - without.disk_bytes == pytest.approx(kept, rel=0.1)


def test_lite_is_the_cheapest_place_with_few_seeds(forecast, grid):
    wide = {"seeds": [4, 3, 2, 1], "tasks": ["digits-halves", "toy"]}
    found = forecast(**wide)
    part, seconds = plan.lite(dataclasses.replace(grid, **wide), found)
    assert (part.tasks, part.backbones, part.seeds) == (["toy"], ["test_resnet"], [4, 3, 2])
    assert part.methods == grid.methods
    assert seconds == pytest.approx(forecast(**wide | {"tasks": ["toy"], "seeds": [4, 3, 2]}).seconds)


def test_lite_of_nothing_is_refused(forecast, grid, tmp_path):
    small = {"methods": [("baseline", {})], "seeds": [0]}
    run_some(dataclasses.replace(grid, **small), tmp_path, 1)
    with pytest.raises(InputError, match="nothing is left to run"):
        plan.lite(grid, forecast(**small))


def test_methods_that_differ_in_parameters_have_lines_of_their_own(forecast):
    found = forecast(methods=[("mixup", {}), ("mixup", {"alpha": 0.3})])
    assert [line.cells for line in found.lines] == [2, 2]
    assert found.lines[1].params == str(sorted(registry.method("mixup", {"alpha": 0.3}).params.items()))
