"""Jobs of a real Slurm: the rows of one process, whatever is done to the jobs; skipped where none answers."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import HIERARCHIES

from benchmark import jobs
from benchmark.claims import Claims
from benchmark.errors import InputError
from benchmark.launchers import slurm
from benchmark.metrics import METRICS
from benchmark.store import Store

ROOT = Path(__file__).parents[2]
GRID = ["--tasks", "toy", "--datasets-dir", str(HIERARCHIES), "--backbones", "test_resnet", "--recipe", "quickstart"]
SHORT, LONG = ["--set", "recipe.epochs=2"], ["--set", "recipe.epochs=5000"]
SLURM = ["--launcher", "slurm", "--time", "10", "--cpus", "1", "--mem", "1500M", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path):
    """A results folder whose jobs end with the test."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        pytest.skip("no Slurm answers; start one: bash .ci/slurm up; export SLURM_CONF=$(bash .ci/slurm conf)")
    yield tmp_path / "out"
    jobs.cancel(tmp_path / "out")


def c2f(*words):
    command = [sys.executable, ROOT / "run_benchmark.py", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)


def launch(folder, *more, seeds="0"):
    done = c2f("run", *GRID, "--methods", "baseline", "--seeds", seeds, "--out", folder, *more)
    assert done.returncode in (0, 1), done.stderr
    return done


def eventually(what, seconds=120):
    """What it gives, once that is something."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, subprocess.run(["squeue"], capture_output=True, text=True, check=False).stdout
        time.sleep(0.2)
    return found


def training(folder, but=()):
    """Claims of cells that are being trained, but for some processes."""
    return [claim for claim in Claims(folder).running() if claim.alive and claim.pid not in but]


def scores(folder):
    return {row["key"]: [row[name] for name in METRICS] for row in Store(folder).rows()}


@pytest.mark.slurm
def test_an_array_gives_the_rows_of_one_process(folder, tmp_path):
    launched = launch(folder, *SHORT, *SLURM, "--wait", seeds="0-2")
    assert launched.returncode == 0 and "3 to run by Slurm" in launched.stdout
    launch(tmp_path / "alone", *SHORT, "--device", "cpu", seeds="0-2")
    assert repr(scores(folder)) == repr(scores(tmp_path / "alone")) and len(scores(folder)) == 3
    records = list(Store(folder).records())
    assert {record["provenance"]["num_threads"] for record in records} == {1}
    assert all("run_benchmark.py run --tasks toy" in record["provenance"]["command"] for record in records)
    assert len({job.partition("_")[0] for job in jobs.noted(folder).values()}) <= 1
    assert c2f("status", folder).returncode == 0


@pytest.mark.slurm
def test_detached_jobs_are_seen_adopted_and_cancelled(folder):
    assert "2 queued by Slurm" in launch(folder, *LONG, *SLURM, seeds="0-1").stdout
    before = jobs.noted(folder)
    eventually(lambda: len(training(folder)) == 2)
    seen = c2f("status", folder)
    assert seen.returncode == 3 and "2 running" in seen.stdout
    launch(folder, *LONG, *SLURM, seeds="0-1")
    assert jobs.noted(folder) == before  # none is queued twice
    assert "2 jobs ended" in c2f("cancel", folder).stdout
    eventually(lambda: not training(folder))
    assert c2f("status", folder).returncode == 1
    launch(folder, *SHORT, *SLURM, "--wait", seeds="0-1")
    assert len(scores(folder)) == 2


@pytest.mark.slurm
def test_a_killed_job_is_queued_again_once_and_then_a_failure(folder):
    command = [sys.executable, ROOT / "run_benchmark.py", "run", *GRID, *LONG, *SLURM, "--wait", "--out", folder]
    command += ["--methods", "baseline", "--seeds", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    watcher = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        (first,) = eventually(lambda: training(folder))
        os.kill(first.pid, signal.SIGKILL)
        (second,) = eventually(lambda: training(folder, but=[first.pid]))
        os.kill(second.pid, signal.SIGKILL)
        out, _ = watcher.communicate(timeout=120)
    finally:
        watcher.kill()
        watcher.wait()
    (record,) = Store(folder).failed_records()
    assert watcher.returncode == 1 and record["kind"] == "killed" and "ended without a row" in record["reason"]
    assert (folder / record["log"]).is_file() and "Killed" in (folder / record["log"]).read_text()
    assert "failed toy baseline" in out


@pytest.mark.slurm
def test_a_job_whose_time_is_over_keeps_its_state_and_is_queued_again(folder):
    launch(folder, *LONG, *SLURM)
    (first,) = eventually(lambda: [claim for claim in training(folder) if claim.progress])
    (job,) = jobs.noted(folder).values()
    subprocess.run(["scancel", "--signal=USR1", job], check=True)
    (second,) = eventually(lambda: training(folder, but=[first.pid]))
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True).stdout
    assert list((folder / "checkpoints").glob("*.safetensors"))
    assert re.search(r"Restarts=1\b", shown) and second.key == first.key
    assert list(jobs.noted(folder).values()) == [job]


def test_without_slurm_one_line_says_so(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no Slurm here .* login node"):
        slurm.Slurm(slurm.Setting(tmp_path / "out", "auto"), slurm.Resources())
    jobs.note(tmp_path / "out", "0" * 20, "7_0")
    with pytest.raises(InputError, match="no squeue here"):
        jobs.alive(tmp_path / "out")


@pytest.fixture
def fake_squeue(tmp_path, monkeypatch):
    """A squeue that prints what it is given, and a scancel that notes its arguments."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def make(listing, code=0):
        for name, line in (("squeue", "cat <<'EOF'"), ("scancel", f'echo "$@" >> {tmp_path / "cancelled"}\n: <<"EOF"')):
            path = tmp_path / "bin" / name
            path.write_text(f"#!/bin/sh\n{line}\n{listing}\nEOF\nexit {code}\n")
            path.chmod(0o755)
        return tmp_path

    return make


def test_jobs_live_while_squeue_lists_them_in_a_state_that_lasts(fake_squeue):
    out = fake_squeue("7_0|7_0|RUNNING\n7_1|7_1|COMPLETED\n7_2|7_2|PENDING\n8|8_N/A|COMPLETING\n9_0|9_0|RUNNING")
    for key, job in (("a", "7_0"), ("b", "7_1"), ("c", "7_2"), ("d", "8"), ("e", "7_3")):
        jobs.note(out, key, job)
    assert jobs.alive(out) == {"a": "RUNNING", "c": "PENDING", "d": "COMPLETING"}
    assert jobs.cancel(out) == 3
    assert (out / "cancelled").read_text().split() == ["7_0", "7_2", "8"]
    assert jobs.noted(out) == {}


def test_a_squeue_that_fails_is_told_in_one_line(fake_squeue):
    out = fake_squeue("", code=1)
    jobs.note(out, "a", "7_0")
    with pytest.raises(InputError, match="squeue fails"):
        jobs.alive(out)


def test_notes_that_are_not_whole_are_no_jobs(tmp_path):
    jobs.note(tmp_path, "a", "7_0")
    for name, content in (("b", ""), ("c", "[]"), ("d", json.dumps({}))):
        (tmp_path / "jobs" / f"{name}.json").write_text(content)
    assert jobs.noted(tmp_path) == {"a": "7_0"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("5:30", 6), ("4:00:00", 240), ("2-12", 3600), ("1-0:30", 1470), ("1-00:00:30", 1441)],
)
def test_times_are_read_as_sbatch_reads_them(text, expected):
    assert slurm.minutes(text) == expected


@pytest.mark.parametrize("text", ["", "0", "soon", "1:2:3:4", "-5", "1.5"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(InputError, match="--time"):
        slurm.minutes(text)


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        ("slurmstepd: error: *** STEP 5.0 ON x CANCELLED AT 2026-11-23T22:00:00 DUE TO TIME LIMIT ***", "timeout"),
        ("Job not requeued because: timed-out too many times.", "timeout"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=5.0", "out_of_memory"),
        ("srun: error: vm: task 0: Killed", "killed"),
        ("", "killed"),
    ],
)
def test_how_a_job_ended_is_read_from_its_log(log, kind):
    assert slurm._kind(log) == kind
