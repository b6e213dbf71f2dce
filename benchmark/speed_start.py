"""How long a command takes to begin: importing the program, and lists, which import nothing slow."""

import statistics
import subprocess
import sys
import time

from benchmark.errors import InputError
from benchmark.speed import Watch
from benchmark.speed_scores import Line

LISTS = ("tasks", "methods", "backbones", "suites", "recipes", "metrics")
IMPORT_SECONDS, LIST_SECONDS = 0.5, 1.0


def measure(rounds: int, watch: Watch) -> list[Line]:
    """Seconds of each, interpreter included; medians of rounds in which they take turns.

    Raises:
        InputError: if one of them fails.
    """
    run = "import sys; from benchmark.cli import main; sys.argv = ['c2f', *sys.argv[1:]]; main()"
    commands = {"import benchmark.cli": (IMPORT_SECONDS, ["import benchmark.cli"])}
    commands |= {f"c2f list {kind}": (LIST_SECONDS, [run, "list", kind]) for kind in LISTS}
    watch.begin(rounds * len(commands))
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, (_, arguments) in commands.items():
            times[name].append(_seconds(name, arguments))
            watch.step(1)
    return [Line("start", name, statistics.median(times[name]), limit=limit) for name, (limit, _) in commands.items()]


def _seconds(name: str, arguments: list[str]) -> float:
    started = time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr.strip() or "nothing on stderr").splitlines()[-1]
        raise InputError(f"{name} ended with code {ended.returncode}: {last}; run it by hand to see more")
    return time.perf_counter() - started
