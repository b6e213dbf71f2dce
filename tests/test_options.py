"""What users type: lists, seeds, changes; and what each mistake is answered."""

import pytest

from benchmark import options, registry
from benchmark.errors import InputError
from benchmark.options import Request, parse_changes, parse_seeds


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", [0]), ("0-4", [0, 1, 2, 3, 4]), ("7, 1-2,1", [7, 1, 2]), ("3-3", [3])]
)
def test_seeds_are_read(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("3-1", "runs backwards; write 1-3"),
        ("", "cannot read"),
        ("a", "cannot read 'a'"),
        ("-1", "cannot read"),
        ("1,,2", "cannot read ''"),
        ("0-99999999999", "too large"),
    ],
)
def test_bad_seeds_are_refused(text, problem):
    with pytest.raises(InputError, match=problem):
        parse_seeds(text)


def test_changes_are_read_as_yaml():
    texts = [
        "recipe.lr=1e-3",
        "recipe.policy=none",
        "method.am_mixup.beta=5",
        "backbone.resnet18.a1_in1k.pretrained=true",
    ]
    changes = parse_changes(texts)
    assert changes.recipe == {"lr": 1e-3, "policy": "none"}
    assert changes.methods == {"am_mixup": {"beta": 5}}
    assert changes.backbones == {"resnet18.a1_in1k": {"pretrained": True}}


@pytest.mark.parametrize(
    "text",
    [
        "beta=5",
        "method.beta=5",
        "recipe=5",
        "recipe.a.b=1",
        "method.am_mixup.beta",
        "data.x=1",
        "recipe.lr=[1]",
        "recipe.lr=",
    ],
)
def test_bad_changes_are_refused(text):
    with pytest.raises(InputError, match="--set"):
        parse_changes([text])


def test_no_options_are_the_quickstart():
    grid, suite = options.grid(Request()), registry.suite("quickstart")
    assert list(grid.tasks) == suite.tasks and list(grid.seeds) == suite.seeds
    assert [name for name, _ in grid.methods] == suite.methods
    assert Request().name == "quickstart"


def test_options_replace_parts_of_a_suite():
    grid = options.grid(Request(suite="quickstart", methods="baseline", seeds="5", changes=("recipe.epochs=3",)))
    assert [name for name, _ in grid.methods] == ["baseline"]
    assert (grid.seeds, grid.recipe.epochs, grid.recipe.name) == ([5], 3, "quickstart+")
    assert list(grid.tasks) == ["digits-halves"]


def test_a_grid_of_ones_own_defaults_to_all_methods():
    request = Request(tasks="digits-halves", recipe="quickstart")
    grid = options.grid(request)
    assert [name for name, _ in grid.methods] == list(registry.methods())
    assert (grid.backbones, grid.seeds, request.name) == (["resnet18-thin"], [0, 1, 2], "custom")
    assert grid.only_fitting  # asked for by name, a method that does not fit is an error; among all, it is left out
    assert options.grid(Request(suite="quickstart", methods="all")).methods == grid.methods
    assert not options.grid(Request(suite="quickstart", methods="mixup")).only_fitting


def test_suites_may_give_parameters_and_set_overrides_them():
    grid = options.grid(Request(suite="am-mixup-beta"))
    assert [params["beta"] for _, params in grid.methods] == [1, 3, 5, 10]
    changed = options.grid(Request(suite="am-mixup-beta", changes=("method.am_mixup.beta=2",)))
    assert {params["beta"] for _, params in changed.methods} == {2}


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (Request(suite="quickstat"), "did you mean 'quickstart'"),
        (Request(tasks="digits-halves"), "needs --recipe; known: "),
        (Request(tasks="digits-halves", recipe="quick"), "did you mean 'quickstart'"),
        (Request(methods="mixup,,cutmix"), "remove the empty one"),
        (Request(methods="mixup", changes=("method.am_mixup.beta=1",)), "'am_mixup' is not part of this run"),
        (Request(changes=("backbone.resnet50.drop_rate=0.1",)), "'resnet50' is not part of this run"),
        (Request(changes=("recipe.epoch=1",)), "did you mean 'epochs'"),
        (Request(changes=("recipe.epochs=0",)), "recipe.epochs: .*got 0"),
    ],
)
def test_bad_requests_are_refused(request_, problem):
    with pytest.raises(InputError, match=problem):
        options.grid(request_)


@pytest.mark.parametrize(
    ("name", "workers", "grouped", "curves", "said"),
    [
        ("sulrm", 1, False, False, "slurm"),
        ("slurm", 2, False, False, "--array-parallelism"),
        ("slurm", 1, False, True, "--tensorboard is of --launcher local"),
        ("slurm", 1, True, False, "leave --workers and --launcher out"),
        ("local", 2, True, False, "leave --workers and --launcher out"),
    ],
)
def test_launchers_refuse_what_does_not_go_with_them(name, workers, grouped, curves, said):
    with pytest.raises(InputError, match=said):
        options.check_launcher(name, workers, grouped, curves)


def test_one_process_goes_with_everything():
    assert options.check_launcher("local", 1, True, True) is None
