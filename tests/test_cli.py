"""The program as a user meets it: runs, lists, refusals in one line with exit code 2, kills and continuations."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import HIERARCHIES
from PIL import Image

import benchmark
from benchmark import cli, schema
from benchmark.metrics import METRICS

ROOT = Path(__file__).parents[1]
TOY = [
    "run",
    "--tasks",
    "toy",
    "--datasets-dir",
    str(HIERARCHIES),
    "--backbones",
    "test_resnet",
    "--recipe",
    "quickstart",
]
OWN_METHOD = """\
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from benchmark.methods.base import Family, InputMethod, parameters


@parameters
class OwnMixup(InputMethod):
    \"""Noise from the global generator.\"""

    title: ClassVar[str] = "Own"
    paper: ClassVar[str] = "none"
    year: ClassVar[int] = 2026
    family: ClassVar[Family] = "input mixing"

    strength: Annotated[float, Field(ge=0, description="of the noise")] = 0.1

    def mix(self, images, targets, rng):
        if images.shape[1:] == (1, 8, 8):
            raise RuntimeError("three channels, please")
        return images + self.strength * torch.randn_like(images), targets
"""
SMALL = [*TOY, "--set", "recipe.epochs=2", "--set", "recipe.batch_size=32"]


@pytest.fixture
def c2f(monkeypatch, capsys, tmp_path):
    """Runs the program in a fresh folder; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmark.registry._plugins", {})  # a plug-in is known for the rest of a process

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["c2f", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def refused(result, *fragments):
    code, out, err = result
    assert code == 2, out + err
    assert err.startswith("c2f: error: ") and err.count("\n") == 1
    assert "Traceback" not in out + err
    for fragment in fragments:
        assert fragment in err


def test_a_run_writes_its_table_and_csv_and_the_next_one_computes_nothing(c2f):
    arguments = [*SMALL, "--methods", "baseline,am_mixup", "--seeds", "0-1"]
    code, out, _ = c2f(*arguments)
    assert code == 0
    assert "4 cells: 0 done already, 4 to run on cpu" in out
    assert "am_mixup" in out and "results/custom/results.csv written" in out
    frame = pd.read_csv("results/custom/results.csv")
    assert tuple(frame.columns) == schema.RESULT_COLUMNS and len(frame) == 4
    assert frame["command"].iloc[0].startswith("c2f run --tasks toy")
    history = pd.read_csv("results/custom/history.csv")
    assert history[history["method"] == "am_mixup"]["lam"].between(0.5, 1).all()

    code, out, _ = c2f(*arguments)
    assert code == 0 and "4 done already, 0 to run" in out


def test_limit_out_and_quiet(c2f, tmp_path):
    code, out, err = c2f(*SMALL, "--methods", "baseline", "--limit", "1", "--out", tmp_path / "x", "--quiet")
    assert (code, out, err) == (0, "", "")
    assert len(pd.read_csv(tmp_path / "x" / "results.csv")) == 1


def test_failed_cells_show_their_reason_and_exit_code_1(c2f):
    arguments = [*SMALL, "--methods", "baseline", "--seeds", "0", "--set", "recipe.lr=1e30"]
    code, out, _ = c2f(*arguments)
    assert code == 1
    assert "FloatingPointError" in out and "0, 1 failed" in out and "--retry-failed" in out
    assert c2f(*arguments)[0] == 1
    assert pd.read_csv("results/custom/results.csv")["status"].tolist() == ["failed"]


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["run", "--suite", "quickstar"], ["unknown suite 'quickstar'", "did you mean 'quickstart'"]),
        (["run", "--tasks", "digit-halves", "--recipe", "quickstart"], ["did you mean 'digits-halves'"]),
        (["run", "--methods", "mixpu"], ["did you mean 'mixup'", "c2f list methods"]),
        (["run", "--backbones", "resnet18-thn"], ["did you mean 'resnet18-thin'"]),
        (["run", "--sede", "0"], ["--sede"]),
        (["run", "--seeds", "3-1"], ["write 1-3"]),
        (["run", "--limit", "some"], ["'--limit'", "valid integer"]),
        (["run", "--device", "tpu"], ["use auto, cpu, cuda"]),
        (["run", "--datasets-dir", "nowhere"], ["nowhere", "no such folder"]),
        (["rnu"], ["rnu"]),
        (["list", "method"], ["did you mean 'methods'"]),
        (["show", "method", "am-mixup"], ["did you mean 'am_mixup'"]),
        (["show", "metric", "rank"], ["did you mean 'rankme'"]),
        (["table", "nowhere"], ["no results to read"]),
        (
            ["run", "--tasks", "cifar10-vehicles-animals", "--recipe", "cifar-cpu", "--data-root", "nowhere"],
            ["no data_batch_1 in nowhere/cifar-10-batches-py", "--download"],
        ),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(c2f, arguments, fragments):
    refused(c2f(*arguments), *fragments)


def test_a_broken_hierarchy_names_file_and_line(c2f, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        (HIERARCHIES / "toy.yaml").read_text().replace("toy", "mine", 1) + "colour: red\n"
    )
    result = c2f("run", "--tasks", "mine", "--datasets-dir", folder, "--recipe", "quickstart")
    refused(result, "mine.yaml:11: unknown key 'colour'")


def test_an_output_folder_of_another_version_is_refused(c2f, tmp_path):
    out = tmp_path / "old"
    (out / "cells").mkdir(parents=True)
    (out / "store.json").write_text('{"schema": 0}')
    refused(c2f(*SMALL, "--out", out), "schema version 0", "--out")


def test_an_output_folder_that_cannot_be_written_is_refused(c2f, tmp_path):
    (tmp_path / "file").write_text("")
    refused(c2f(*SMALL, "--out", tmp_path / "file" / "x"), "cannot be written")


def test_check_method_reports_every_promise_and_its_exit_code(c2f, tmp_path):
    code, out, _ = c2f("check-method", "am_mixup", "--set", "beta=3")
    assert code == 0 and "✗" not in out and out.count("✓") >= 15
    assert "am_mixup: keeps the contract" in out
    own = tmp_path / "own_mixup.py"
    own.write_text(OWN_METHOD)
    code, out, _ = c2f("check-method", "own_mixup", "--plugin", own)
    assert code == 1
    assert "✗ all randomness from rng: the global random state of torch" in out
    line = OWN_METHOD[: OWN_METHOD.index("raise")].count("\n") + 1
    assert f"✗ grey images of 8 pixels: RuntimeError: three channels, please ({own}:{line})" in out


def test_a_plugin_is_a_method_like_any_other(c2f, tmp_path):
    own = tmp_path / "own_mixup.py"
    own.write_text(OWN_METHOD)
    assert "own_mixup" in c2f("list", "methods", "--plugin", own)[1]
    assert "strength" in c2f("show", "method", "own_mixup", "--plugin", own)[1]
    arguments = [*SMALL, "--methods", "own_mixup", "--seeds", 0, "--plugin", own]
    assert c2f(*arguments)[0] == 0
    first = pd.read_csv("results/custom/results.csv")
    assert len(first.loc[0, "method_digest"]) == 16
    assert "0 to run" in c2f(*arguments)[1]
    own.write_text(OWN_METHOD + "\n# changed\n")  # other code: another cell
    assert "1 to run" in c2f(*arguments)[1]


def test_debug_shows_the_traceback(c2f):
    with pytest.raises(benchmark.errors.InputError, match="unknown suite"):
        c2f("run", "--suite", "nothing", "--debug")


@pytest.mark.parametrize("kind", ["tasks", "methods", "backbones", "suites", "recipes", "metrics", "parameters"])
def test_list_names_everything(c2f, kind, monkeypatch):
    from benchmark import registry
    from benchmark.small_backbones import VARIANTS

    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = c2f("list", kind)
    known = {
        "tasks": registry.task_files(),
        "methods": registry.methods(),
        "backbones": VARIANTS,
        "suites": registry.suite_files(),
        "recipes": registry.recipe_files(),
        "metrics": METRICS,
        "parameters": ["beta", "epsilon", "temperature"],
    }[kind]
    assert code == 0
    for name in known:
        assert name in out


@pytest.mark.parametrize(
    ("kind", "name", "fragments"),
    [
        (
            "method",
            "am_mixup",
            ["--set method.am_mixup.beta  default 1.0; >= 0", "speed at which lam nears 1/2", "half, beta, literal"],
        ),
        ("task", "digits-halves", ["below_five: 0, 1, 2, 3, 4", "licence: CC BY 4.0"]),
        ("task", "fashion-mnist-groups", ["note: worn_on with a single garment: carried"]),
        ("backbone", "resnet18-thin", ["timm model: resnet18"]),
        ("backbone", "resnet18", ["timm's model"]),
        ("recipe", "quickstart", ["--set recipe.epochs", "passes over the training split"]),
        ("suite", "quickstart", ["tasks: ['digits-halves']"]),
        ("metric", "uniformity", ["[-8, 0]", "more spread"]),
    ],
)
def test_show_tells_it_all(c2f, kind, name, fragments):
    code, out, _ = c2f("show", kind, name)
    assert code == 0
    for fragment in fragments:
        assert fragment in out


def test_version(c2f):
    assert c2f("--version")[:2] == (0, f"{benchmark.__version__}\n")


def test_help_teaches(c2f):
    code, out, _ = c2f("run", "--help")
    assert code == 0
    for option in ("--suite", "--tasks", "--methods", "--backbones", "--seeds", "--recipe", "--set", "--data-root"):
        assert option in out
    for option in ("--download", "--out", "--device", "--limit", "--retry-failed", "--quiet", "C2F_DATA_ROOT"):
        assert option in out


def test_speed_prints_ratios(c2f, monkeypatch):
    monkeypatch.setattr("benchmark.speed.SECONDS", 0.01)
    monkeypatch.setattr("benchmark.speed.IMAGES", 64)
    arguments = ["--backbone", "test_resnet", "--image-size", 16, "--batch-size", 8, "--rounds", 2]
    code, out, _ = c2f("speed", *arguments, "--methods", "mixup,am_mixup", "--steps")
    assert code == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert float(rows["bare"][4]) == float(rows["baseline"][4]) == 1.0
    low, high = map(float, rows["am_mixup"][5].split("–"))
    assert low <= high
    code, out, _ = c2f("speed", *arguments, "--methods", "mixup", "--markdown", "--steps")
    assert "| step" in out and "| mixup" in out and "decode" not in out


def test_speed_times_what_is_around_and_compares(c2f, monkeypatch, tmp_path):
    monkeypatch.setattr("benchmark.speed.SECONDS", 0.01)
    monkeypatch.setattr("benchmark.speed.IMAGES", 64)
    few = {"FILES": 4, "EXTRACTED": 8, "TRAIN": 400, "VAL": 200, "TEST": 200}
    for name, size in few.items():
        monkeypatch.setattr(f"benchmark.speed_around.{name}", size)
    monkeypatch.setattr("benchmark.probes.episodes.EPISODES", 2)
    arguments = ["speed", "--backbone", "test_resnet", "--image-size", 16, "--batch-size", 8, "--rounds", 2]
    code, out, _ = c2f(*arguments, "--json", tmp_path / "old.json")
    assert code == 0 and "decode: to cache" in out and "forward and loss" in out
    assert json.loads((tmp_path / "old.json").read_text())["lines"][0]["name"] == "bare step"


@pytest.mark.parametrize(("ratio", "threshold", "code"), [(1.2, 1.05, 1), (1.2, 1.3, 0), (1.0, 1.05, 0)])
def test_speed_judges_ratios_against_an_earlier_file(c2f, monkeypatch, tmp_path, ratio, threshold, code):
    from benchmark.speed import Line

    bare = Line("bare step", 1.0, 100.0, 1.0, 0.9, (0.89, 0.91))
    made = iter([1.0, ratio])
    monkeypatch.setattr(
        "benchmark.speed.measure",
        lambda *_: [bare, Line("mixup", 1.0, 100.0, (one := next(made)) / 0.9, one, (one - 0.01, one + 0.01))],
    )
    assert c2f("speed", "--steps", "--json", tmp_path / "old.json")[0] == 0
    arguments = ["--compare", tmp_path / "old.json", "--threshold", threshold, "--json", tmp_path / "new.json"]
    found, out, _ = c2f("speed", "--steps", *arguments)
    assert found == code and ("regressed" in out) == bool(code)
    assert json.loads((tmp_path / "new.json").read_text())["lines"][1]["to_baseline"] == ratio


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--scores", "--start"], "one at a time; leave one out"),
        (["--large"], "add --scores"),
        (["--start", "--compare", "old.json"], "leave --start out"),
        (["--steps", "--pictures", "."], "drop one"),
        (["--compare", "none.json"], "name another file"),
        (["--json", "nowhere/new.json"], "name another file"),
    ],
)
def test_speed_refuses_what_does_not_fit(c2f, arguments, remedy):
    refused(c2f("speed", *arguments), remedy)


def test_importing_the_command_line_does_not_import_torch():
    code = "import sys, benchmark.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_without_loss(tmp_path, how):
    arguments = [
        *SMALL,
        "--methods",
        "baseline",
        "--seeds",
        "0-11",
        "--set",
        "recipe.epochs=6",
        "--out",
        str(tmp_path / "r"),
    ]
    command = [sys.executable, ROOT / "run_benchmark.py", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
    cells = tmp_path / "r" / "cells"
    deadline = time.monotonic() + 100
    while len(list(cells.glob("[0-9a-f]*.json"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    out, _ = process.communicate(timeout=60)
    kept = {path.name: path.read_bytes() for path in cells.glob("[0-9a-f]*.json")}
    assert 2 <= len(kept) < 12
    if how == signal.SIGINT:
        assert process.returncode == 130 and f"Stopped: {len(kept)} of 12 cells are stored" in out
        assert len(pd.read_csv(tmp_path / "r" / "results.csv")) == len(kept)
    rest = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    assert f"{len(kept)} done already, {12 - len(kept)} to run" in rest.stdout
    assert all((cells / name).read_bytes() == content for name, content in kept.items())
    assert len(pd.read_csv(tmp_path / "r" / "results.csv")) == 12


def test_plan_tells_the_cost_and_by_its_exit_code_what_cannot_run(c2f, tmp_path):
    wanted = ["plan", *SMALL[1:], "--seeds", "0-4", "--rate", "100", "--methods"]
    code, out, _ = c2f(*wanted, "baseline,mixup", "--lite")
    assert code == 0 and "0 cells done already, 10 to run." in out
    assert " with --tasks toy --backbones test_resnet --seeds 0,1,2 in place" in out
    assert list(tmp_path.iterdir()) == []
    code, out, _ = c2f(*wanted, "baseline,transmix")
    assert code == 1 and "cannot run: transmix cannot train test_resnet" in out and "5 to run" in out
    c2f(*SMALL, "--methods", "baseline", "--seeds", 0, "--quiet")
    assert "1 cells done already, 9 to run." in c2f(*wanted, "baseline,mixup")[1]
    refused(c2f(*wanted, "baseline", "--rate", "-1"), "--rate")


@pytest.mark.parametrize(("how", "codes"), [(signal.SIGTERM, {75}), (signal.SIGKILL, {-9})])
def test_a_cell_that_is_stopped_goes_on_from_its_checkpoint(tmp_path, how, codes):
    arguments = [*TOY, "--methods", "mixup", "--seeds", "0", "--set", "recipe.batch_size=16"]
    arguments += ["--set", "recipe.epochs=12", "--checkpoint-minutes", "0.0001", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "run_benchmark.py", *arguments]
    with subprocess.Popen([*command, "stopped"], stdout=subprocess.PIPE, env=environment, cwd=tmp_path) as process:
        deadline = time.monotonic() + 100
        while not list((tmp_path / "stopped" / "checkpoints").glob("*.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(how)
        process.communicate(timeout=60)
    assert process.returncode in codes and not list((tmp_path / "stopped" / "cells").glob("[0-9a-f]*"))
    for folder in ("stopped", "whole"):
        subprocess.run([*command, folder, "--quiet"], env=environment, cwd=tmp_path, check=True)
    stopped, whole = ((tmp_path / folder / "scores.csv").read_bytes() for folder in ("stopped", "whole"))
    assert stopped == whole
    assert list((tmp_path / "stopped" / "checkpoints").iterdir()) == []


def test_table_shows_the_columns_asked_for(c2f):
    c2f(*SMALL, "--methods", "baseline", "--seeds", "0", "--quiet")
    code, out, _ = c2f("table", "results/custom", "--columns", "coarse_val_acc,nc1_fine", "--markdown")
    assert code == 0
    assert "| method   | seeds   | coarse validation %   | NC1, fine   |" in out
    assert "fine linear" in c2f("table", "results/custom")[1]
    refused(c2f("table", "results/custom", "--columns", "nc1_fin"), "did you mean 'nc1_fine'")


def test_check_lists_errors_and_says_so_by_its_exit_code(c2f, tmp_path):
    (tmp_path / "pets.yaml").write_text("name: pets\nversion: 0\n")
    code, out, _ = c2f("check", "pets.yaml")
    assert code == 1
    assert out.splitlines()[-1] == "1 file: 6 errors, 0 notes."
    assert "pets.yaml:2: error: version: Input should be greater than or equal to 1, got 0" in out.splitlines()
    assert c2f("check", "digits-halves")[:2] == (0, "1 file: 0 errors, 0 notes.\n")
    assert c2f("check", "--all", "--datasets-dir", HIERARCHIES)[0] == 0
    refused(c2f("check", "cats.yaml"), "cats.yaml: no such file")
    refused(c2f("check"), "c2f check pets.yaml")


def test_doctor_shows_the_machine_the_ready_and_the_missing(c2f, tmp_path):
    code, out, _ = c2f("doctor", "--data-root", tmp_path, "--datasets-dir", HIERARCHIES)
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith(f"c2f       {benchmark.__version__}")
    assert "✓ digits-halves" in lines and "✓ toy" in lines
    assert any(line.startswith("    → c2f run --tasks cifar10-") for line in lines)
    assert re.fullmatch(r"\d+ of \d+ tasks can run here now\.", lines[-1])


@pytest.fixture
def pets(tmp_path):
    """Two species of two breeds, six images each, of the breed's colour."""
    for place, colour in [("cat/siam", "red"), ("cat/747", "green"), ("dog/no", "blue"), ("dog/pug", "white")]:
        folder = tmp_path / "images" / "Pets" / "train" / place
        folder.mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (20 + i, 16), colour).save(folder / f"{i}.png")
    return tmp_path / "images" / "Pets"


def test_init_task_folder_makes_a_task_that_shows_and_runs(c2f, pets):
    code, out, _ = c2f("init-task", "folder", pets, "--levels", "species,breed", "--image-size", 16)
    assert code == 0
    assert "hierarchies/pets.yaml written: 2 species > 4 breed." in out
    see, go = (line.split() for line in out.splitlines() if line.startswith("  c2f "))
    assert see == ["c2f", "show", "task", "pets", "--datasets-dir", "hierarchies"]
    assert "cat: cat/747, cat/siam" in c2f(*see[1:])[1]
    assert go[:6] == ["c2f", "run", "--tasks", "pets", "--datasets-dir", "hierarchies"]
    assert go[6:8] == ["--data-root", str(pets.parent)]
    few = ["--methods", "baseline", "--backbones", "test_resnet", "--seeds", 0]
    for change in ("epochs=1", "warmup_epochs=0", "batch_size=4"):
        few += ["--set", f"recipe.{change}"]
    code, out, err = c2f(*go[1:], *few)
    assert code == 0, out + err
    row = pd.read_csv("results/custom/results.csv").iloc[0]
    assert row[["task", "coarse_level", "fine_level", "status"]].tolist() == ["pets", "species", "breed", "ok"]
    assert 0 <= row["fine_linear_acc"] <= 1


def test_init_task_writes_where_asked_and_replaces_on_request_only(c2f, tmp_path):
    table = tmp_path / "Pets.csv"
    table.write_text("breed,kind\nsiam,cat\nmanx,cat\npug,dog\n")
    arguments = ["init-task", "csv", table, "--source", "imagefolder/pets", "--image-size", 16]
    assert "written: 2 kind > 3 breed" in c2f(*arguments, "--out", tmp_path / "pets.yaml")[1]
    refused(c2f(*arguments, "--out", tmp_path / "pets.yaml"), "pets.yaml exists; --force replaces it")
    assert c2f(*arguments, "--out", tmp_path / "pets.yaml", "--force")[0] == 0
    refused(c2f(*arguments, "--out", tmp_path / "cats.yaml"), "the file of task 'pets' is called pets.yaml")
    refused(c2f(*arguments, "--name", "My Pets"), "name 'My Pets' must match", "--name")
    refused(c2f(*arguments, "--levels", "kind,bred"), f"{table}:1: no column 'bred'")
    refused(c2f(*arguments, "--levels", "kind,,breed"), "--levels 'kind,,breed'")


def test_init_task_wordnet_takes_a_tree_of_ones_own(c2f, tmp_path):
    (tmp_path / "class_hierarchy.txt").write_text("root c\nroot d\nc c1\nc c2\nd d1\nd d2\n")
    (tmp_path / "node_names.txt").write_text("".join(f"{n}\tthe {n}\n" for n in "root c d c1 c2 d1 d2".split()))
    (tmp_path / "dataset_class_info.json").write_text('[[0,"c1","x"],[1,"c2","x"],[2,"d1","x"],[3,"d2","x"]]')
    arguments = ["init-task", "wordnet", "--name", "mine", "--level", 1, "--num-subclasses", 2]
    code, out, _ = c2f(*arguments, "--split", "bad", "--tree", tmp_path)
    assert code == 0 and "hierarchies/mine.yaml written: 2 superclass > 4 class." in out
    assert "kind: subpopulation-shift" in c2f("show", "task", "mine", "--datasets-dir", "hierarchies")[1]
    refused(c2f(*arguments, "--split", "worst", "--tree", tmp_path), "unknown split 'worst'")
    refused(c2f(*arguments, "--ancestor", "cc", "--tree", tmp_path), "unknown ancestor 'cc'; did you mean 'c'?")
    refused(c2f(*arguments), "no dataset_class_info.json in data/imagenet_class_hierarchy/modified", "--download")


def test_init_task_teaches(c2f, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for arguments in ([], ["--help"]):
        code, out, _ = c2f("init-task", *arguments)
        assert code == 0
        for word in ("folder", "csv", "wordnet", "Examples", "--inaturalist order,family"):
            assert word in out
    assert "--split" in c2f("init-task", "wordnet", "--help")[1]
    refused(c2f("init-task", "fold"), "fold")


def test_what_is_measured_beside_the_scores_is_asked_for(c2f, tmp_path):
    one = [*SMALL, "--methods", "baseline", "--seeds", "0", "--out"]
    plain, closely = tmp_path / "plain", tmp_path / "closely"
    assert c2f(*one, plain)[0] == 0
    assert c2f(*one, closely, "--track", "2", "--layers", "--keep-features")[0] == 0
    epochs, bare = (pd.read_csv(folder / "history.csv") for folder in (closely, plain))
    assert epochs["nc1_fine"].notna().tolist() == [False, True] and "nc1_fine" not in bare
    figures, others = (pd.read_csv(folder / "scores.csv") for folder in (closely, plain))
    assert set(figures["layer"].dropna()) == {f"stage {i}" for i in range(1, 5)} and others["layer"].isna().all()
    wide, other = (pd.read_csv(folder / "results.csv") for folder in (closely, plain))
    assert wide[list(METRICS)].equals(other[list(METRICS)])  # none of it moves a score
    assert wide["measures"][0] == '{"layers": true, "track": 2}' and wide["key"][0] != other["key"][0]


def test_verify_tells_by_its_exit_code(c2f, tmp_path):
    c2f(*SMALL, "--methods", "baseline", "--seeds", "0", "--out", tmp_path / "out")
    code, out, _ = c2f("verify", tmp_path, "--datasets-dir", HIERARCHIES)
    assert code == 0 and "1 equal" in out and "features were not kept" in out
    (predictions,) = (tmp_path / "out" / "predictions").iterdir()
    predictions.write_bytes(predictions.read_bytes() + b" ")
    code, out, _ = c2f("verify", tmp_path, "--datasets-dir", HIERARCHIES)
    assert code == 1 and "SHA-256 differs" in out and "1 changed" in out
    code, _, err = c2f("verify", tmp_path / "nowhere")
    assert code == 2 and "no results folder" in err and "Traceback" not in err


def test_score_refuses_in_one_line(c2f, tmp_path):
    code, _, err = c2f("score", tmp_path / "nothing.npz", "--task", "digits-halves", "--out", tmp_path / "out")
    assert code == 2 and "no such file" in err and "Traceback" not in err
