"""Sweeps of toy cells: skipping, rerunning what changed, failures, interruption, bitwise repeats."""

import dataclasses
import itertools
import math
import shutil

import pytest
import torch
from conftest import HIERARCHIES

from benchmark import registry, sweep
from benchmark.errors import InputError
from benchmark.methods.base import InputMethod
from benchmark.metrics import METRICS
from benchmark.pretrain import Silent
from benchmark.store import Store
from benchmark.sweep import Grid

CPU = torch.device("cpu")


class Watch:
    """A display that remembers."""

    def __init__(self, stop_after=None):
        self.finished, self.problems, self.stop_after = [], [], stop_after

    def cell_started(self, cell):
        if len(self.finished) == self.stop_after:
            raise KeyboardInterrupt
        return Silent()

    def cell_finished(self, cell, seconds, problem):
        self.finished.append(cell)
        self.problems.append(problem)


def make_grid(recipe, methods=("baseline", "am_mixup"), seeds=(0, 1), **changes):
    named = [method if isinstance(method, tuple) else (method, {}) for method in methods]
    return dataclasses.replace(Grid(["toy"], named, ["test_resnet"], seeds, recipe), **changes)


@pytest.fixture
def run(tmp_path, toy_recipe):
    """Plans and runs a grid in one folder; gives (cells run, store)."""
    store = Store(tmp_path / "out")
    store.open()

    def go(retry_failed=False, display=None, datasets_dir=HIERARCHIES, allow_missing=False, **changes):
        grid = make_grid(changes.pop("recipe", toy_recipe), **changes)
        plan = sweep.plan(grid, tmp_path, datasets_dir, allow_missing=allow_missing)
        todo = sweep.todo(plan, store, retry_failed)
        watch = display or Watch()
        sweep.run(todo, plan, store, CPU, watch)
        return watch, store

    return go


def scores(store):
    return {row["key"]: {name: row[name] for name in METRICS} for row in store.rows()}


def test_a_second_run_computes_nothing(run):
    first, _ = run()
    second, _ = run()
    assert len(first.finished) == 4 and second.finished == []


def test_only_what_changed_runs_again(run):
    run()
    changed, _ = run(methods=("baseline", ("am_mixup", {"beta": 2.5})))
    assert [(cell.method, cell.seed) for cell in changed.finished] == [("am_mixup", 0), ("am_mixup", 1)]


def test_a_changed_hierarchy_runs_again(run, toy_recipe, tmp_path):
    run(seeds=(0,))
    folder = tmp_path / "hierarchies"
    folder.mkdir()
    text = (HIERARCHIES / "toy.yaml").read_text()
    moved = text.replace("[long_a, long_b]", "[long_a, long_b, steep_a]").replace("[steep_a, steep_b]", "[steep_b]")
    (folder / "toy.yaml").write_text(moved)
    plan = sweep.plan(make_grid(toy_recipe, seeds=(0,)), tmp_path, folder)
    store = Store(tmp_path / "out")
    assert len(sweep.todo(plan, store)) == 2


def test_scores_repeat_bit_by_bit(run, tmp_path, toy_recipe):
    _, store = run(methods=("mixup", "cutmix", "manifold_mixup", "am_mixup"), seeds=(0,))
    again = Store(tmp_path / "again")
    again.open()
    plan = sweep.plan(
        make_grid(toy_recipe, methods=("mixup", "cutmix", "manifold_mixup", "am_mixup"), seeds=(0,)),
        tmp_path,
        HIERARCHIES,
    )
    sweep.run(reversed(plan.cells), plan, again, CPU, Watch())  # nor does their order matter
    assert scores(store) == scores(again)


def test_a_failing_cell_is_recorded_and_the_sweep_goes_on(run, toy_recipe):
    exploding = dataclasses.replace(toy_recipe, lr=1e30)
    watch, store = run(recipe=exploding, methods=("baseline",), seeds=(0, 1))
    assert len(watch.finished) == 2
    assert all("FloatingPointError" in problem for problem in watch.problems)
    assert {row["status"] for row in store.rows()} == {"failed"}
    skipped, _ = run(recipe=exploding, methods=("baseline",), seeds=(0, 1))
    retried, _ = run(recipe=exploding, methods=("baseline",), seeds=(0, 1), retry_failed=True)
    assert (len(skipped.finished), len(retried.finished)) == (0, 2)


def test_an_interrupted_sweep_goes_on_where_it_stopped(run):
    with pytest.raises(KeyboardInterrupt):
        run(display=Watch(stop_after=1))
    rest, store = run()
    assert len(rest.finished) == 3 and len(list(store.rows())) == 4


def test_every_score_is_filled_in(run):
    _, store = run(methods=("am_mixup",), seeds=(0,))
    (row,) = store.rows()
    of_other_kinds = {"many_acc", "medium_acc", "few_acc", "source_coarse_acc", "fine_tuned_acc"}
    assert {name for name in METRICS if math.isnan(row[name])} == of_other_kinds
    for name in METRICS.keys() - of_other_kinds:
        assert METRICS[name].low <= row[name] <= METRICS[name].high, name
    assert row["init"] == "scratch" and row["init_labels"] == "none" and row["precision"] == "fp32"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tasks": ["toi"]}, "did you mean 'toy'"),
        ({"methods": [("am_mixp", {})]}, "did you mean 'am_mixup'"),
        ({"methods": [("am_mixup", {"betta": 1})]}, "did you mean 'beta'"),
        ({"backbones": ["resnet18-thinn"]}, "did you mean 'resnet18-thin'"),
        ({"backbones": ["vit_tiny_patch16_224"]}, "cannot be built for 3 x 16 x 16 images"),
        ({"tasks": ["cifar10-vehicles-animals"]}, "no data_batch_1 in .*--data-root.*--download"),
    ],
)
def test_plans_refuse_what_cannot_run(changes, problem, toy_recipe, tmp_path):
    with pytest.raises(InputError, match=problem):
        sweep.plan(make_grid(toy_recipe, **changes), tmp_path, HIERARCHIES)


class OnlyViT(InputMethod):
    """A method that says no to the toy backbone."""

    params = {}  # noqa: RUF012

    def check(self, network):
        raise InputError("needs a class token; take e.g. vit-tiny-p4")

    def mix(self, images, targets, rng):
        return images, targets


def test_a_method_that_cannot_train_a_backbone_is_refused_before_training(monkeypatch, toy_recipe, tmp_path):
    make = registry.method
    monkeypatch.setattr(registry, "method", lambda name, params: OnlyViT() if name == "vit" else make(name, params))
    grid = make_grid(toy_recipe, methods=("baseline", "vit"))
    reason = "vit cannot train test_resnet: needs a class token; take e.g. vit-tiny-p4"
    with pytest.raises(InputError, match=reason):
        sweep.plan(grid, tmp_path, HIERARCHIES)
    plan = sweep.plan(dataclasses.replace(grid, only_fitting=True), tmp_path, HIERARCHIES)
    assert plan.left_out == (reason,)
    assert [cell.method for cell in plan.cells] == ["baseline", "baseline"]


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:1", "cuda:x"])
def test_devices_that_are_not_there_are_refused(name):
    with pytest.raises(InputError, match="device"):
        sweep.resolve_device(name)


def test_device_auto_is_there():
    assert sweep.resolve_device("auto").type in ("cpu", "cuda")
    assert sweep.resolve_device("cpu") == CPU


def only_row(run, **changes):
    _, store = run(methods=("am_mixup",), seeds=(0,), **changes)
    (row,) = store.rows()
    return row


def test_a_long_tailed_task_is_pretrained_on_fine_labels_and_says_so(run, tmp_path):
    (tmp_path / "tail.yaml").write_text(
        "name: tail\nversion: 1\ntitle: Tail\nof: toy\ncoarse: fine\nfine: fine\nlong_tail: 4\n"
    )
    shutil.copy(HIERARCHIES / "toy.yaml", tmp_path)
    row = only_row(run, tasks=["tail"], datasets_dir=tmp_path)
    assert (row["kind"], row["coarse_level"], row["fine_level"]) == ("long-tailed", "fine", "fine")
    assert math.isnan(row["many_acc"])  # of the seven classes one has 20 images, which are medium, and six have fewer
    assert (row["medium_acc"] + 6 * row["few_acc"]) / 7 == pytest.approx(row["coarse_acc"])
    assert math.isnan(row["fine_linear_within_acc"]) and math.isnan(row["subclass_separability"])
    assert row["alignment_coarse"] == row["alignment_fine"]


def test_a_shift_is_evaluated_on_classes_it_was_not_trained_on(run, tmp_path):
    text = (HIERARCHIES / "toy.yaml").read_text().replace("name: toy", "name: shift")
    (tmp_path / "shift.yaml").write_text(f"{text}target: [long_b, short_c, steep_b]\n")
    row = only_row(run, tasks=["shift"], datasets_dir=tmp_path)
    assert row["kind"] == "subpopulation-shift"
    assert row["source_coarse_acc"] is not None and row["coarse_acc"] is not None
    assert row["fine_linear_acc"] is not None


def test_a_control_is_a_row_of_its_own(run):
    _, store = run(methods=("baseline",), seeds=(0,), tasks=["digits-halves", "digits-halves+random-superclasses:0"])
    plain, control = sorted(store.rows(), key=lambda row: row["task"])
    assert (plain["task"], control["task"]) == ("digits-halves", "digits-halves+random-superclasses:0")
    assert plain["hierarchy_digest"] != control["hierarchy_digest"]
    assert plain["data_digest"] == control["data_digest"]  # the same images


def test_wordnet_folders_with_a_class_missing_are_refused_or_recorded(run, tmp_path, real_data):
    """A BREEDS-like task on real ImageNet pixels: cats and dogs of Tiny ImageNet, and a class that is not there."""
    images, here = (
        real_data("tiny-imagenet-50") / "tiny-imagenet-50",
        ["n02123045", "n02123394", "n02085620", "n02094433"],
    )
    for part, name in itertools.product(("train", "val"), here):
        target = tmp_path / "pets" / part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(images / part / name)
    (tmp_path / "wordnet-pets.yaml").write_text(
        "name: wordnet-pets\nversion: 1\ntitle: Pets\nsource: imagefolder/pets\nimage_size: 32\n"
        "levels: [superclass, class]\nignore: others\nclasses:\n  cat: [n02123045, n02123394, n02124075]\n"
        "  dog: [n02085620, n02094433]\n"
    )
    with pytest.raises(InputError, match=r"1 classes without images: n02124075\..*--allow-missing"):
        run(tasks=["wordnet-pets"], datasets_dir=tmp_path)
    row = only_row(run, tasks=["wordnet-pets"], datasets_dir=tmp_path, allow_missing=True)
    assert row["missing_classes"] == '["n02124075"]'
    assert 0 <= row["fine_linear_acc"] <= 1
    whole = registry.task("wordnet-pets", tmp_path)
    assert row["hierarchy_digest"] != whole.hierarchy.digest


def test_controls_of_images_drawn_from_the_tree_are_refused(run):
    with pytest.raises(InputError, match=r"toy: its images are drawn from the tree; .* take a task with real images"):
        run(tasks=["toy+random-superclasses:0"])
