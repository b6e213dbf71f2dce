"""Cells as jobs of a Slurm cluster, through submitit: an array of one-cell jobs that need nobody to watch them.

A job is queued again when its time is over or it is preempted; what its cell has left on disk by then is all it goes
on from. Whether a job lives is asked of `squeue`: submitit asks accounting, which many clusters do not have. A job may
publish its row and be queued again all the same; it then finds the row and ends.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from threadpoolctl import threadpool_limits

from benchmark import data, jobs, registry
from benchmark.checkpoint import Signals, Stop
from benchmark.claims import Claims
from benchmark.data import Decoded
from benchmark.errors import InputError
from benchmark.launchers.base import POLL_SECONDS, TRIES, Display, Ending, Outcome, Setting
from benchmark.launchers.work import Bench
from benchmark.pretrain import Monitor, Silent
from benchmark.schema import Cell
from benchmark.store import FailureKind, reporting

if TYPE_CHECKING:
    import submitit

LOST_SECONDS = 20.0  # after which a job that Slurm has forgotten is gone: shared disks show its row late
REQUEUES = 100  # of a job whose time is over
MAX_ARRAY = 1000  # jobs of an array, where the cluster does not say
TAIL = 4000  # characters of a log that tell how a job ended
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")


@dataclass(frozen=True)
class Resources:
    """What a job asks the cluster for; empty and 0: the cluster's default."""

    minutes: int = 60
    partition: str = ""
    gpus: int = 0
    cpus: int = 0
    mem: str = ""
    account: str = ""
    qos: str = ""
    array_parallelism: int = 256
    setup: tuple[str, ...] = ()  # shell lines that come before

    def parameters(self, name: str) -> dict[str, Any]:
        """As submitit calls them."""
        asked = {
            "partition": self.partition,
            "gpus_per_node": self.gpus,
            "cpus_per_task": self.cpus,
            "mem": self.mem,
            "account": self.account,
            "qos": self.qos,
            "setup": list(self.setup),
        }
        return {
            **{key: value for key, value in asked.items() if value},
            "job_name": name,
            "time": self.minutes,
            "array_parallelism": self.array_parallelism,
            "signal_delay_s": min(90, 15 * self.minutes),
            "additional_parameters": {"requeue": True},
        }


def minutes(text: str) -> int:
    """A time limit as sbatch takes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]].

    Raises:
        InputError: if it is none of these, or nothing.
    """
    match = _TIME.fullmatch(text)
    days, parts = (int(match["days"] or 0), match["parts"].split(":")) if match else (0, [])
    units = (3600, 60, 1) if match and match["days"] else (3600, 60, 1)[-len(parts) :] if len(parts) > 1 else (60,)
    seconds = 24 * 3600 * days + sum(int(part) * unit for part, unit in zip(parts, units, strict=False))
    if not seconds:
        raise InputError(f"--time {text!r} is no time; use minutes, or e.g. 4:00:00, 2-12 (days-hours)")
    return -(-seconds // 60)


@dataclass(frozen=True)
class Job:
    """What runs on the cluster: one cell, until it has a row or has failed."""

    setting: Setting
    cell: Cell
    entry: str  # of its images in the cache
    command: tuple[str, ...]  # the launch's, for the row

    def __call__(self) -> str:
        """How the cell ended, in a word."""
        import submitit

        sys.argv[:] = self.command
        queue_again = signal.getsignal(signal.SIGUSR1)  # submitit's; it acts at once, training at the end of a step
        _name_job(self.cell)
        threads = int(os.environ.get("SLURM_CPUS_PER_TASK", 0)) or torch.get_num_threads()
        torch.set_num_threads(threads)
        threadpool_limits(threads)
        for plugin in self.setting.plugins:
            registry.add_plugin(plugin)
        with Signals() as signals:
            try:
                return self._run(signals, Path(submitit.JobEnvironment().paths.stderr))
            except Stop:
                if signals.noted != "SIGUSR1" or not callable(queue_again):  # scancel, or Slurm queues it by itself
                    sys.exit(128 + signal.SIGTERM)
        queue_again(signal.SIGUSR1, None)
        return "stopped"

    def _run(self, signals: Signals, log: Path) -> str:
        bench = Bench(replace(self.setting, device=_device(self.setting.device)), signals)
        images = data.reopen(self.entry)
        # The claim of the job's own first run, on another node, is a minute in dying.
        while (ending := bench.attempt(self.cell, images, Silent, log)).state == "busy":
            signals.raise_if_noted()
            time.sleep(POLL_SECONDS)
        return ending.state

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What submitit queues when time is over or the job is preempted: the same again."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


class Slurm:
    """The launcher of Slurm jobs. They go on when it ends, unless it is cancelled."""

    def __init__(self, setting: Setting, resources: Resources) -> None:
        """Check that there is a cluster.

        Raises:
            InputError: if submitit or Slurm is not here.
        """
        self.setting = replace(setting, results=setting.results.resolve())
        self.results = self.setting.results
        self.resources = resources
        self.executor = _executor(self.results)
        self.bench = Bench(replace(self.setting, device="cpu"))
        self.where = "by Slurm"
        self.jobs: dict[str, str] = {}  # ids by the keys of cells
        self.cells: dict[str, Cell] = {}  # those that have not ended, by key
        self.images: Mapping[str, Decoded] = {}
        self.seen: dict[str, float] = {}  # monotonic time at which the job of a cell was last known to live
        self.deaths: Counter[str] = Counter()
        self.shown: dict[str, _Shown] = {}

    def submit(self, cells: Sequence[Cell], images: Mapping[str, Decoded]) -> None:
        """Queue cells; those whose job of an earlier launch still lives are taken over.

        Raises:
            InputError: if Slurm refuses the jobs.
        """
        self.bench.tidy()
        self.images = images
        self.cells |= {cell.key: cell for cell in cells}
        living, noted = jobs.alive(self.results), jobs.noted(self.results)
        self.jobs |= {key: noted[key] for key in self.cells if key in living}
        self.seen |= dict.fromkeys(self.jobs, time.monotonic())
        new = [cell for cell in cells if cell.key not in self.jobs]
        size = _max_array()
        for start in range(0, len(new), size):
            self._queue(new[start : start + size])

    def watch(self, display: Display) -> Outcome:
        """Wait until every cell has ended. A cell whose job vanished without a row is queued again, once."""
        outcome = Outcome()
        while self.cells:
            self._show(display)
            for cell in [cell for cell in self.cells.values() if self._has_ended(cell)]:
                ending = self.bench.settled(cell) or self._vanished(cell)
                if ending.state == "busy":
                    self._queue([cell])
                    continue
                outcome.add(ending)
                del self.cells[cell.key]
                jobs.forget(self.results, [cell.key])
                display.cell_finished(cell, ending.seconds, ending.problem)
            if self.cells:
                time.sleep(POLL_SECONDS)
                self._look()
        return outcome

    def cancel(self) -> None:
        """End the jobs of the cells that have not ended."""
        jobs.cancel(self.results, self.cells.keys())

    def _queue(self, cells: Sequence[Cell]) -> None:
        import submitit

        self.executor.update_parameters(**self.resources.parameters(f"c2f {self.results.name}"))
        command = tuple(sys.argv)
        try:
            with self.executor.batch():
                made = [
                    self.executor.submit(Job(self.setting, cell, self.images[cell.task.name].entry, command))
                    for cell in cells
                ]
        except (submitit.core.utils.FailedJobError, OSError) as error:
            said = str(error).strip().splitlines()
            raise InputError(
                f"Slurm refuses the jobs ({said[-1] if said else error}); mend that and launch again"
            ) from error
        for cell, job in zip(cells, made, strict=True):
            jobs.note(self.results, cell.key, job.job_id)
            self.jobs[cell.key], self.seen[cell.key] = job.job_id, time.monotonic()

    def _look(self) -> None:
        """Ask Slurm who lives; if it does not answer, everybody does."""
        wanted = {key: self.jobs[key] for key in self.cells}
        try:
            living = jobs.states(wanted.values())
        except InputError:
            living = dict.fromkeys(wanted.values(), "")
        self.seen |= {key: time.monotonic() for key, job in wanted.items() if job in living}

    def _has_ended(self, cell: Cell) -> bool:
        """The row counts first: a controller that was started anew may list jobs that are long gone."""
        return self.bench.settled(cell) is not None or time.monotonic() - self.seen[cell.key] > LOST_SECONDS

    def _vanished(self, cell: Cell) -> Ending:
        """Busy if the cell is to be queued again."""
        self.deaths[cell.key] += 1
        log = jobs.log(self.results, self.jobs[cell.key])
        tail = log.read_text(errors="replace")[-TAIL:] if log.is_file() else ""
        kind = _kind(tail)
        if kind == "killed" and self.deaths[cell.key] < TRIES:
            return Ending("busy")
        last = next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "it left no log")
        problem = f"{kind.replace('_', ' ')}: job {self.jobs[cell.key]} ended without a row; {last}"
        self.bench.store.fail(cell, problem, "", 0.0, kind, log if log.is_file() else None)
        return Ending("failed", problem=problem)

    def _show(self, display: Display) -> None:
        for running in Claims(self.results).running():
            cell = self.cells.get(running.key)
            if cell and running.key not in self.shown:
                self.shown[running.key] = _Shown(display.cell_started(cell))
            if cell:
                self.shown[running.key].update(running.progress)


class _Shown:
    """The monitor of a cell that is told what the cell's heartbeats say."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor, self.images, self.begun = monitor, 0, False

    def update(self, progress: Mapping[str, float]) -> None:
        if not progress:
            return
        images = int(progress["images"])
        if not self.begun or images < self.images:  # a job that was queued again begins anew
            self.monitor.begin(int(progress["total"]))
            self.begun, self.images = True, 0
        self.monitor.step(images - self.images)
        self.images = images


def _executor(results: Path) -> "submitit.SlurmExecutor":
    # Of the signals submitit could use, the one that training listens to; it reads this as it is imported.
    os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", "USR1")
    try:
        import submitit
    except ImportError:
        raise InputError("--launcher slurm needs submitit; pip install 'c2f-benchmark[slurm]'") from None
    try:
        with reporting(results):
            return submitit.SlurmExecutor(jobs.folder(results) / "%j", max_num_timeout=REQUEUES)
    except RuntimeError:
        raise InputError("no Slurm here (no srun); run this on a login node, or with --workers instead") from None


def _max_array() -> int:
    """The most jobs of an array: the cluster's limit is of their numbers, which begin at 0."""
    try:
        said = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, check=True, timeout=jobs.ANSWER_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return MAX_ARRAY
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", said.stdout, re.MULTILINE)
    return max(int(match[1]) - 1, 1) if match else MAX_ARRAY


def _kind(log: str) -> FailureKind:
    """Why a job ended without a row, by what Slurm and submitit wrote into its log."""
    if "timed-out too many times" in log or "DUE TO TIME LIMIT" in log:
        return "timeout"
    if "oom-kill" in log or "oom_kill" in log or "Out Of Memory" in log:
        return "out_of_memory"
    return "killed"


def _name_job(cell: Cell) -> None:
    """So that squeue says what runs; a cluster where users may not rename their jobs keeps the launch's name."""
    job, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{cell.task.name} {cell.method} {cell.backbone} s{cell.seed}"
    number = f"{job}_{task}" if job else os.environ.get("SLURM_JOB_ID", "")
    command = ["scontrol", "update", f"JobId={number}", f"JobName={name}"]
    subprocess.run(command, capture_output=True, check=False, timeout=jobs.ANSWER_SECONDS)


def _device(name: str) -> str:
    """`auto` is decided where the cell runs."""
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
