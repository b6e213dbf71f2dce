"""Slurm jobs of a results folder: a note per cell under `jobs/`, and what `squeue` says of them.

Only `squeue` is asked who lives, for accounting (`sacct`) is off on many clusters.
"""

import json
import os
import subprocess
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from benchmark.errors import InputError
from benchmark.store import replace_whole, reporting

ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}
ANSWER_SECONDS = 60
MOST_IDS = 500  # of one command line


def folder(results: Path) -> Path:
    """Where the notes of a results folder are; submitit's files of a job lie in a folder of its id below it."""
    return results / "jobs"


def note(results: Path, key: str, job: str) -> None:
    """Remember the job of a cell; the next launch does not queue it again while the job lives."""
    with reporting(results):
        folder(results).mkdir(exist_ok=True)
        replace_whole(folder(results) / f"{key}.json", json.dumps({"job": job}) + "\n")


def forget(results: Path, keys: Iterable[str]) -> None:
    """Remove the notes of cells."""
    for key in keys:
        (folder(results) / f"{key}.json").unlink(missing_ok=True)


def noted(results: Path) -> dict[str, str]:
    """Ids of jobs by the keys of their cells, whether they live or not."""
    found: dict[str, str] = {}
    for path in sorted(folder(results).glob("*.json")):
        try:
            found[path.stem] = str(json.loads(path.read_text())["job"])
        except (OSError, ValueError, KeyError, TypeError):  # removed meanwhile, or not whole
            continue
    return found


def log(results: Path, job: str) -> Path:
    """What a job wrote to its standard error, as submitit names it."""
    return folder(results) / job / f"{job}_0_log.err"


def states(ids: Collection[str]) -> dict[str, str]:
    """Slurm's state of each job that it still knows to be waiting or at work, e.g. PENDING; by id.

    Raises:
        InputError: if squeue is not here, or does not answer.
    """
    if not ids:
        return {}
    # -r: a line for each task of an array; both ways to write its id.
    listing = _ask(["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%F_%K|%T"])
    lines = [line.split("|") for line in listing.splitlines()]
    found = {name: state for *names, state in lines for name in names if state not in ENDED}
    return {job: found[job] for job in ids if job in found}


def alive(results: Path) -> dict[str, str]:
    """States of the jobs of a results folder that live, by the keys of their cells; nothing is asked without jobs."""
    jobs = noted(results)
    found = states(jobs.values())
    return {key: found[job] for key, job in jobs.items() if job in found}


def cancel(results: Path, keys: Collection[str] | None = None) -> int:
    """End the jobs of a results folder, or of some of its cells, and forget them; how many lived.

    Raises:
        InputError: if scancel is not here, or does not answer.
    """
    jobs: Mapping[str, str] = {key: job for key, job in noted(results).items() if keys is None or key in keys}
    living = sorted(states(jobs.values()))
    for start in range(0, len(living), MOST_IDS):
        _ask(["scancel", *living[start : start + MOST_IDS]])
    forget(results, jobs)
    return len(living)


def _ask(command: list[str]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS)
    except FileNotFoundError:
        raise InputError(f"no {command[0]} here; jobs can be seen and ended on a machine of their cluster") from None
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise InputError(f"{command[0]} fails ({said[-1] if said else 'no answer'}); is Slurm up?") from None
    return answer.stdout
