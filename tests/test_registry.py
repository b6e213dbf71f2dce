"""Names to things: everything shipped loads and fits together; what is unknown or out of range is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmark import backbones, registry
from benchmark.errors import InputError


@pytest.mark.parametrize("name", registry.recipe_files())
def test_shipped_recipe_loads(name: str):
    recipe = registry.recipe(name)
    assert recipe.name == name
    assert recipe.title.strip()


@pytest.mark.parametrize("name", registry.suite_files())
def test_shipped_suite_names_only_what_exists(name: str):
    suite = registry.suite(name)
    assert (suite.name, suite.title.strip()) == (name, suite.title)
    assert registry.recipe(suite.recipe).name == suite.recipe
    assert all(registry.task(task).name == task for task in suite.tasks)
    for entry in registry.methods() if suite.methods == "all" else suite.methods:
        for method, params in entry.items() if isinstance(entry, dict) else [(entry, {})]:
            resolved = registry.method(method, params).params
            assert {key: resolved[key] for key in params} == params
    for backbone in suite.backbones:
        backbones.check(backbone)
    assert len(set(suite.seeds)) == len(suite.seeds)


@pytest.mark.parametrize(
    ("look_up", "complaint"),
    [
        (
            lambda: registry.task("digit-halves"),
            "unknown task 'digit-halves'; did you mean 'digits-halves'.*list tasks",
        ),
        (lambda: registry.recipe("quickstrt"), "unknown recipe 'quickstrt'; did you mean 'quickstart'.*list recipes"),
        (lambda: registry.suite("cifar10"), "unknown suite 'cifar10'; did you mean 'cifar100'.*list suites"),
        (lambda: registry.method("am-mixup", {}), "unknown method 'am-mixup'; did you mean 'am_mixup'.*list methods"),
        (
            lambda: registry.method("mixup", {"alfa": 1}),
            "unknown parameter of mixup 'alfa'; did you mean 'alpha'.*show",
        ),
        (lambda: registry.recipe("cifar", {"epoch": 1}), "unknown recipe field 'epoch'; did you mean 'epochs'.*show"),
        (lambda: registry.task("qqqqqqqqqq"), "unknown task 'qqqqqqqqqq'; known: cars-body, cifar10-bad, "),
    ],
)
def test_unknown_name_suggests_the_nearest(look_up: Callable[[], object], complaint: str):
    with pytest.raises(InputError, match=complaint):
        look_up()


@pytest.mark.parametrize("name", ["../datasets/digits-halves", "/etc/passwd", "", "digits-halves.yaml"])
def test_task_name_is_never_a_path(name: str):
    with pytest.raises(InputError, match="unknown task"):
        registry.task(name)


@pytest.mark.parametrize("value", [-1, 0, "x", float("nan")])
def test_method_parameter_out_of_range_is_named(value: object):
    with pytest.raises(InputError, match=r"method\.mixup\.alpha: .*got .*\. Change the value"):
        registry.method("mixup", {"alpha": value})


def test_recipe_changes_are_applied_and_marked():
    stored = registry.recipe("quickstart")
    changed = registry.recipe("quickstart", {"epochs": 3})
    assert (changed.name, changed.epochs) == ("quickstart+", 3)
    assert changed.hyperparameters == {**stored.hyperparameters, "epochs": 3}


def test_recipe_change_to_the_stored_value_is_no_change():
    assert registry.recipe("quickstart", {"epochs": registry.recipe("quickstart").epochs}).name == "quickstart"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"epochs": 0}, r"recipe\.epochs: .*greater than or equal to 1, got 0\. Change the value"),
        ({"lr": "fast"}, r"recipe\.lr: .*valid number.*got 'fast'"),
        ({"optimizer": "lion"}, r"recipe\.optimizer: .*'sgd' or 'adamw', got 'lion'"),
        ({"warmup_epochs": 8, "epochs": 8}, r"warmup_epochs=8 must be smaller than epochs=8"),
        ({"epochs": 0, "batch_size": 1}, r"recipe\.epochs: .*; recipe\.batch_size: "),
    ],
)
def test_bad_recipe_change_is_named(changes: Mapping[str, Any], complaint: str):
    with pytest.raises(InputError, match=complaint):
        registry.recipe("quickstart", changes)


OWN = """\
name: {}
version: 1
title: T
source: synthetic/4
image_size: 8
levels: [c, f]
classes: {{a: [x, y], b: [z]}}
"""


def test_extra_folder_adds_tasks_beside_the_shipped_ones(tmp_path: Path):
    (tmp_path / "own.yaml").write_text(OWN.format("own"))
    assert registry.task("own", tmp_path).fine_classes == ("x", "y", "z")
    assert registry.task("digits-halves", tmp_path).name == "digits-halves"
    assert set(registry.task_files(tmp_path)) == {*registry.task_files(), "own"}


def test_extra_folder_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"--datasets-dir .*absent: no such folder; name one"):
        registry.task_files(tmp_path / "absent")


def test_extra_folder_may_not_redefine_a_shipped_name(tmp_path: Path):
    (tmp_path / "digits-halves.yaml").write_text(OWN.format("digits-halves"))
    with pytest.raises(InputError, match=r"the name 'digits-halves' is taken by a shipped task; rename the file"):
        registry.task("digits-halves", tmp_path)


def test_extra_folder_with_a_bad_file_name_is_refused(tmp_path: Path):
    (tmp_path / "My Pets.yaml").write_text(OWN.format("own"))
    with pytest.raises(InputError, match=r"My Pets\.yaml: file names must match .*; rename it"):
        registry.task_files(tmp_path)


def test_shipped_folder_given_as_the_extra_one_is_no_clash():
    assert dict(registry.task_files(registry.hierarchy_folder())) == dict(registry.task_files())


@pytest.mark.parametrize("view", [registry.methods, registry.task_files, registry.recipe_files, registry.suite_files])
def test_views_are_read_only_and_filled(view: Callable[[], Mapping[str, Any]]):
    assert len(view()) > 0
    with pytest.raises(TypeError, match="does not support item assignment"):
        view()["x"] = 1
