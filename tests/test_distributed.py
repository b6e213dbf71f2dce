"""Two processes under a real torchrun give the numbers of one; what they cannot is refused."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import shared_work
import torch
from safetensors.torch import load_file

from benchmark import distributed, sweep
from benchmark.errors import InputError
from benchmark.metrics import METRICS

HERE = Path(__file__).parent
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
CELLS = (
    HERE.parent / "run_benchmark.py",
    *("run", "--tasks", "toy", "--datasets-dir", HERE / "hierarchies", "--methods", "baseline,mixup,am_mixup"),
    *("--backbones", "test_resnet", "--recipe", "quickstart", "--seeds", "0", "--keep-features", "--device", "cpu"),
    *("--set", "recipe.epochs=2", "--set", "recipe.batch_size=16", "--set", "recipe.precision=fp32"),
)


@pytest.fixture(autouse=True)
def _two_processes_at_most(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent))


def start(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def test_every_method_has_the_gradients_of_one_process(tmp_path):
    """In float64, so that nothing but the order of sums can differ: BatchNorm's statistics and the loss, too."""
    done = start(*TORCHRUN, HERE / "shared_work.py", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    of_two = load_file(tmp_path / "two")
    of_one = {f"{name}|{key}": value for name, values in shared_work.steps() for key, value in values.items()}
    assert of_two.keys() == of_one.keys() and len(of_one) > 2000
    for name, value in of_one.items():
        torch.testing.assert_close(of_two[name], value, rtol=1e-9, atol=1e-11, msg=lambda text, name=name: name + text)


def test_two_processes_give_the_scores_of_one(tmp_path):
    """Rounding grows along a training run: features to 1e-3 of the largest, accuracies to 0.01."""
    assert start(sys.executable, *CELLS, "--out", tmp_path / "one").returncode == 0
    done = start(*TORCHRUN, *CELLS, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = (pd.read_csv(tmp_path / name / "results.csv") for name in ("one", "two"))
    assert two["key"].tolist() == one["key"].tolist() and len(two) == 3  # no part of a cell's identity; no row twice
    assert two["device_name"].tolist() == [f"2 x {name}" for name in one["device_name"]]
    accuracies = [name for name in METRICS if name.endswith("_acc") and one[name].notna().all()]
    assert len(accuracies) > 5
    assert ((one[accuracies] - two[accuracies]).abs() <= 0.01).all(axis=None)
    histories = [pd.read_csv(tmp_path / name / "history.csv") for name in ("one", "two")]
    torch.testing.assert_close(*(torch.tensor(history["lam"]) for history in histories), equal_nan=True)
    for path in (tmp_path / "one" / "features").iterdir():
        alone, shared = (
            load_file(tmp_path / name / "features" / path.name)["features.test"] for name in ("one", "two")
        )
        assert (alone - shared).abs().max() <= 1e-3 * alone.abs().max()


def test_a_diverging_cell_fails_and_the_next_one_starts(tmp_path):
    done = start(*TORCHRUN, *CELLS, "--set", "recipe.lr=1e30", "--out", tmp_path)
    assert done.returncode != 0 and "[rank1]" not in done.stderr
    rows = pd.read_csv(tmp_path / "results.csv")
    assert rows["status"].tolist() == ["failed"] * 3 and rows["reason"].str.startswith("FloatingPointError").all()


def plan(toy_recipe, monkeypatch, processes, backbone="test_resnet", args=None):
    monkeypatch.setattr(distributed, "size", lambda: processes)
    grid = sweep.Grid(["toy"], [("baseline", {})], [backbone], [0], toy_recipe, {backbone: args or {}})
    return sweep.plan(grid, Path("nowhere"), HERE / "hierarchies")


def test_batches_must_be_a_multiple_of_the_processes(toy_recipe, monkeypatch):
    assert len(plan(toy_recipe, monkeypatch, 2).cells) == 1
    with pytest.raises(InputError, match=r"batch of 16 images is not a multiple of 3 processes.*batch_size=15"):
        plan(toy_recipe, monkeypatch, 3)


def test_a_refused_plan_is_one_line_of_one_process(tmp_path):
    done = start(*TORCHRUN, *CELLS, "--set", "recipe.batch_size=15", "--out", tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("c2f: error: toy: a batch of 15 images is not a multiple of 2 processes") == 1
    assert "[rank1]" not in done.stderr  # the mark of a traceback in another process


@pytest.mark.parametrize("name", ["drop_rate", "drop_path_rate"])
def test_backbones_that_draw_are_refused(toy_recipe, monkeypatch, name):
    with pytest.raises(InputError, match="drops units at random"):
        plan(toy_recipe, monkeypatch, 2, "resnet10t", {name: 0.1})


def test_alone_there_is_no_group():
    assert not distributed.launched()
    assert (distributed.rank(), distributed.size()) == (0, 1)
    distributed.announce("nothing happens")
    distributed.leave()


def test_a_failure_of_one_process_ends_all(monkeypatch):
    with pytest.raises(KeyError), distributed.in_step():
        raise KeyError("alone")
    monkeypatch.setattr(distributed, "_active", lambda: True)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with pytest.raises(FloatingPointError), distributed.in_step():
        raise FloatingPointError("everywhere")
    with pytest.raises(SystemExit, match="process 1 of 2: MemoryError"), distributed.in_step():
        raise MemoryError


def test_a_process_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="2 processes on this machine and 1 GPUs; use --nproc-per-node=1"):
        distributed.join("auto")
    with pytest.raises(InputError, match="--device cuda:1"):
        distributed.join("cuda:1")
