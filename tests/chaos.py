"""Kills a sweep at random moments and starts it again, until its tables are complete; then compares them.

    python tests/chaos.py FOLDER [--kills 100] [--seed 0] [-- OPTIONS OF c2f run]

Each start is a child of a process that has imported everything already, so a kill costs no time and most of them hit
work. A sweep that ends before the kills are used up is followed by another one in a fresh folder. Exit code 1 with a
line for each difference from the undisturbed sweep: a figure, a left-over file, a process that outlives its parent.
"""

import argparse
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import timm  # noqa: F401, imported once for all children

from benchmark import cell, cli, sweep  # noqa: F401

HIERARCHIES = Path(__file__).parent / "hierarchies"
SWEEP = ["--tasks", "toy", "--datasets-dir", str(HIERARCHIES), "--backbones", "test_resnet", "--recipe", "quickstart"]
SWEEP += ["--methods", "mixup,am_mixup,supcon", "--seeds", "0-1", "--set", "recipe.epochs=4"]
SWEEP += ["--set", "recipe.batch_size=32", "--checkpoint-minutes", "0.0001", "--out", "results"]
TIMES = ["pretrain_seconds", "extract_seconds", "fine_tune_seconds", "score_seconds", "images_per_second"]
TIMES += ["peak_memory_mb", "finished_at", "epoch_seconds"]
LONGEST = 3.0  # seconds before a kill
PATIENCE = 20.0  # seconds in which a killed sweep's children must end
ENDS = {0, 75, -signal.SIGTERM, -signal.SIGKILL}  # of a sweep that was killed, or done before it


def start(folder: Path, options: list[str]) -> int:
    """A sweep in a process group of its own; the process."""
    process = os.fork()
    if process:
        return process
    code = 0
    try:
        os.setsid()
        os.chdir(folder)
        quiet = os.open("log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.argv = ["c2f", "run", *SWEEP, *options]
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    os._exit(code)


def wait(process: int, seconds: float) -> int | None:
    """The exit code (minus the signal), or None if it runs on after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def orphans(process: int) -> bool:
    """Whether something of a process's group is still alive after PATIENCE."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            os.killpg(process, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    os.killpg(process, signal.SIGKILL)
    return True


def run_to_end(folder: Path, options: list[str]) -> None:
    """An undisturbed sweep, or the rest of one."""
    folder.mkdir(exist_ok=True)
    code = wait(start(folder, options), 3600)
    if code != 0:
        raise SystemExit(f"exit code {code} of an undisturbed sweep; see {folder / 'log'}")


def kill_one(folder: Path, options: list[str], draw: random.Random) -> tuple[str, list[str]]:
    """Start and kill a sweep; what ended it, and what was wrong with that."""
    process = start(folder, options)
    code = wait(process, draw.uniform(0.05, LONGEST))
    how = draw.choice([signal.SIGKILL, signal.SIGTERM])
    if code is None:
        os.kill(process, how)
        code = wait(process, 60)
    ended = "done" if code == 0 else f"{how.name}, exit code {code}"
    problems = [] if code in ENDS else [f"{ended}; see {folder / 'log'}"]
    problems += [f"{ended}: a process of the sweep outlived it"] if orphans(process) else []
    return ended, problems


def differences(folder: Path, reference: Path) -> Iterator[str]:
    """What is not as in the undisturbed sweep, times aside."""
    for name in ("results.csv", "scores.csv", "history.csv"):
        ours, theirs = (
            pd.read_csv(at / "results" / name, dtype=str).drop(columns=TIMES, errors="ignore")
            for at in (folder, reference)
        )
        if not ours.equals(theirs):
            yield f"{folder / 'results' / name} differs from that of {reference}"
    ours, theirs = (
        {str(path.relative_to(at)) for path in (at / "results").rglob("*") if path.is_file()}
        for at in (folder, reference)
    )
    yield from (f"{folder / name}: left over" for name in sorted(ours - theirs))
    yield from (f"{folder / name}: missing" for name in sorted(theirs - ours))


def main() -> int:
    """Exit code 0 if every sweep ended as the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("options", nargs="*", help="of c2f run, e.g. -- --workers 2")
    asked = parser.parse_args()
    draw, ends, problems, laps = random.Random(asked.seed), Counter[str](), [], 0
    asked.folder.mkdir(parents=True)
    reference = asked.folder.absolute() / "undisturbed"
    run_to_end(reference, asked.options)
    while sum(ends[end] for end in ends if end != "done") < asked.kills:
        lap, laps = reference.with_name(f"lap-{laps}"), laps + 1
        lap.mkdir()
        while sum(ends[end] for end in ends if end != "done") < asked.kills:
            end, wrong = kill_one(lap, asked.options, draw)
            ends[end] += 1
            problems += wrong
            if end == "done":
                break
        run_to_end(lap, asked.options)
        problems += differences(lap, reference)
    sys.stdout.write(f"{laps} sweeps: " + ", ".join(f"{n} x {end}" for end, n in sorted(ends.items())) + "\n")
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
