"""What scoring and publishing cost: collapse metrics and read-outs of synthetic features, a leaderboard of made rows.

Every measurement runs in a process of its own, so that its memory and its threads are its own.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import benchmark
from benchmark.errors import InputError
from benchmark.speed import Watch
from benchmark.speed_memory import forget_peak, resident

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 8192  # images made at a time
DISTANCE = 0.2  # of class means over the spread around them, along each axis; classes overlap
L2 = 1e-2  # of the probe that is compared with scikit-learn's
ROUNDS = 3  # of short timings; the least counts, as what is more is the machine's other work

# Arguments of the measurements, by name.
SIZES: Mapping[str, Mapping[str, int]] = {
    "collapse": {"images": 50_000, "dims": 512, "coarse": 20, "fine": 100},
    "linear": {"images": 50_000, "tests": 10_000, "dims": 512, "fine": 100},
    "knn": {"images": 50_000, "tests": 10_000, "dims": 512, "fine": 100},
    "episodes": {"images": 50_000, "tests": 10_000, "dims": 512, "coarse": 20, "fine": 100},
    "leaderboard": {"tasks": 100, "methods": 100, "seeds": 10},
    "large": {"images": 1_000_000, "dims": 768, "coarse": 100, "fine": 1_000},
}

FURTHER = {"collapse": ("memory",)}  # processes that add figures to a measurement
# The C library keeps small blocks that were freed, and what it keeps depends on chance; so told, it gives them back.
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072"}


@dataclass(frozen=True)
class Line:
    """A figure, and what it should be at most.

    Attributes:
        measurement: a key of SIZES.
        what: in words.
        value: NaN where this system does not tell.
        unit: of value and limit; empty for a ratio.
        limit: NaN for what is told for information.
    """

    measurement: str
    what: str
    value: float
    unit: str = "s"
    limit: float = math.nan

    @property
    def missed(self) -> bool:
        """Whether there is a limit, and a value above it."""
        return self.value > self.limit


def measure(large: bool, watch: Watch) -> list[Line]:
    """Run the measurements one after the other.

    Args:
        large: include the million images; needs 3 GB of disk in the folder for temporary files, and minutes.
        watch: told of every measurement.

    Raises:
        InputError: if one of them fails.
    """
    names = [name for name in SIZES if large or name != "large"]
    watch.begin(len(names))
    lines: list[Line] = []
    for name in names:
        parts = (in_child(part, SIZES[name]) for part in (name, *FURTHER.get(name, ())))
        lines += _lines(name, SIZES[name], {key: value for part in parts for key, value in part.items()})
        watch.step(1)
    return lines


def check_writable(file: Path) -> None:
    """Refuse a file that cannot be written before minutes of measuring.

    Raises:
        InputError: if there is no such folder, or the file is not to be written.
    """
    try:
        file.touch()
    except OSError as error:
        raise InputError(f"--json {file}: cannot be written ({error.strerror}); name another file") from None


def describe() -> str:
    """What the figures are made on, in one line; load beyond one's own makes them longer."""
    import torch

    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores{load}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def document(made_on: str, lines: list[Line]) -> str:
    """The figures as JSON, with what they were made on; null where there is no figure or no limit."""
    plain = [{**vars(line), "missed": line.missed} for line in lines]
    figures = [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in entry.items()}
        for entry in plain
    ]
    made = {"version": benchmark.__version__, "made_on": made_on, "probe_l2": L2}
    return json.dumps({**made, "figures": figures}, indent=2) + "\n"


def table(lines: list[Line]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows for people."""
    rows: list[tuple[str, ...]] = []
    for line in lines:
        verdict = "" if math.isnan(line.limit) or math.isnan(line.value) else "missed" if line.missed else "holds"
        value, limit = ("" if math.isnan(x) else f"{x:.4g} {line.unit}".strip() for x in (line.value, line.limit))
        rows.append((line.what, value or "—", f"≤ {limit}" if limit else "", verdict))
    return ("what", "measured", "limit", ""), rows


def in_child(name: str, arguments: Mapping[str, int | str], module: str = "speed_scores") -> dict[str, float]:
    """One of a module's MEASUREMENTS in a process of its own.

    Raises:
        InputError: if it fails, with the last line of its complaint.
    """
    code = f"import sys; from benchmark import {module}; {module}.child(*sys.argv[1:])"
    path = os.pathsep.join([str(Path(benchmark.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", code, name, json.dumps(dict(arguments))]
    environment = {**os.environ, "PYTHONPATH": path, **(GIVES_BACK if name in ("memory", "large") else {})}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        complaint = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(
            f"the measurement {name!r} ended with code {ended.returncode}: {complaint}; see that memory and the "
            f"disk of {tempfile.gettempdir()} suffice"
        )
    figures: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def child(name: str, arguments: str) -> None:
    """Make a measurement and print its figures as a line of JSON."""
    sys.stdout.write("\n" + json.dumps(MEASUREMENTS[name](**json.loads(arguments))) + "\n")


def collapse(images: int, dims: int, coarse: int, fine: int) -> dict[str, float]:
    """Seconds of all collapse metrics."""
    from benchmark.collapse.measure import measure as measure_collapse

    problem = _problem(images, dims, coarse, fine)
    measure_collapse(*_problem(1_000, dims, coarse, fine))  # loads code and starts threads
    return {"seconds": min([_seconds(lambda: measure_collapse(*problem)) for _ in range(ROUNDS)])}


def memory(images: int, dims: int, coarse: int, fine: int) -> dict[str, float]:
    """Peak of memory in use by all collapse metrics beyond the features, as a share of the features' memory."""
    from benchmark.collapse.measure import measure as measure_collapse

    problem = _problem(images, dims, coarse, fine)
    measure_collapse(*_problem(1_000, dims, coarse, fine))
    before = resident("VmRSS")
    forget_peak()
    measure_collapse(*problem)
    return {"memory": (resident("VmHWM") - before) / (images * dims * 4)}


def large(images: int, dims: int, coarse: int, fine: int) -> dict[str, float]:
    """Seconds of all collapse metrics of features in a memory-mapped file, and the peak memory of the process in GB."""
    import torch

    from benchmark.collapse.measure import measure as measure_collapse

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.bin"
        in_child("write", {"images": images, "dims": dims, "fine": fine, "file": str(file)})
        mapped = torch.from_file(str(file), shared=True, size=images * dims).view(images, dims)
        labels_to_probe = _problem(0, dims, coarse, fine, images)[1:]
        forget_peak()
        seconds = _seconds(lambda: measure_collapse(mapped, *labels_to_probe))
        return {"seconds": seconds, "gigabytes": resident("VmHWM") / 1e9}


def write(images: int, dims: int, fine: int, file: str) -> dict[str, float]:
    """Features to a file of float32, so that whoever maps it has not made them."""
    with Path(file).open("wb") as out:
        for chunk in _made(images, dims, fine, seed=0):
            out.write(chunk.numpy().tobytes())
    return {}


def linear(images: int, tests: int, dims: int, fine: int) -> dict[str, float]:
    """Seconds and test accuracy of a fit of the linear probe at L2 and of scikit-learn's, to the same tolerance.

    They take turns, the probe first and last: a machine whose speed drifts slows both alike.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    from benchmark.probes import linear as probe

    x, labels, x_test, labels_test = _standardised(images, tests, dims, fine)
    with_one, start = torch.cat([x, torch.ones(images, 1)], dim=1), torch.zeros(fine, dims + 1, dtype=torch.float64)
    theirs = LogisticRegression(C=1 / (L2 * images), tol=probe.TOLERANCE, max_iter=probe.MAX_ITERATIONS)
    fits: list[Tensor] = []
    fit = {
        "seconds": lambda: fits.append(probe.solve(with_one, labels, L2, start)),
        "reference_seconds": lambda: theirs.fit(x.numpy(), labels.numpy()),
    }
    turns = [(name, _seconds(fit[name])) for name in (*fit, *reversed(fit))]
    weight = fits[0].float()
    answers = (x_test @ weight[:, :-1].T + weight[:, -1]).argmax(dim=1)
    return {
        **{name: sum(seconds for own, seconds in turns if own == name) / 2 for name in fit},
        "accuracy": float((answers == labels_test).double().mean()),
        "reference_accuracy": float(theirs.score(x_test.numpy(), labels_test.numpy())),
    }


def knn(images: int, tests: int, dims: int, fine: int) -> dict[str, float]:
    """Seconds of k-NN answers."""
    from benchmark.probes import knn as probe

    bank, queries = (_features(images, dims, fine, 0), _labels(images, fine)), _features(tests, dims, fine, 1)
    return {"seconds": min([_seconds(lambda: probe.predict(bank, queries, fine)) for _ in range(ROUNDS)])}


def episodes(images: int, tests: int, dims: int, coarse: int, fine: int) -> dict[str, float]:
    """Seconds of the five-way episodes of five shots, and of all settings."""
    import torch

    from benchmark.probes import episodes as few_shot

    train, test = ((_features(n, dims, fine, seed), _labels(n, fine)) for n, seed in ((images, 0), (tests, 1)))
    to_coarse = torch.arange(fine) % coarse

    def answer(settings: tuple[str, ...]) -> None:
        few_shot.run(train, test, to_coarse, torch.Generator().manual_seed(0), settings)

    five_way = [_seconds(lambda: answer(("5way_5shot",))) for _ in range(ROUNDS)]
    return {"seconds": min(five_way), "all_seconds": _seconds(lambda: answer(few_shot.SETTINGS))}


def leaderboard(tasks: int, methods: int, seeds: int) -> dict[str, float]:
    """Seconds from rows to the published files, and the peak memory of the process in GB."""
    from benchmark import speed_leaderboard

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.csv"
        in_child("rows", {"tasks": tasks, "methods": methods, "seeds": seeds, "file": str(file)})
        forget_peak()
        found = speed_leaderboard.publish(file, Path(folder) / "leaderboard")
        return {**found, "gigabytes": resident("VmHWM") / 1e9}


def rows(tasks: int, methods: int, seeds: int, file: str) -> dict[str, float]:
    """Rows to a file, so that whoever reads it has not made them."""
    from benchmark import speed_leaderboard

    speed_leaderboard.write_rows(Path(file), tasks, methods, seeds)
    return {}


MEASUREMENTS: Mapping[str, Callable[..., dict[str, float]]] = {
    "collapse": collapse,
    "memory": memory,
    "linear": linear,
    "knn": knn,
    "episodes": episodes,
    "leaderboard": leaderboard,
    "large": large,
    "write": write,
    "rows": rows,
}


def _lines(name: str, sizes: Mapping[str, int], found: Mapping[str, float]) -> list[Line]:
    """The figures of a measurement with their limits."""
    if name == "leaderboard":
        what = f"leaderboard, {math.prod(sizes.values()):,} rows: {sizes['tasks']} tasks × {sizes['methods']} methods"
        return [
            Line(name, f"{what} × {sizes['seeds']} seeds", found["seconds"], limit=10),
            Line(name, "  of it to merge and rank", found["rank_seconds"]),
            Line(name, "  peak memory", found["gigabytes"], "GB", 1),
        ]
    size = " × ".join(f"{sizes[key]:,}" for key in ("images", "dims"))
    if name == "collapse":
        what = f"collapse metrics, {size}, {sizes['coarse']}/{sizes['fine']} classes"
        memory = Line(name, "  peak memory beyond the features, of theirs", found["memory"], "", 1)
        return [Line(name, what, found["seconds"], limit=5), memory]
    if name == "large":
        what = f"collapse metrics, {size}, {sizes['fine']:,} classes, from a file"
        return [Line(name, what, found["seconds"]), Line(name, "  peak memory", found["gigabytes"], "GB", 4)]
    if name == "linear":
        points = 100 * abs(found["accuracy"] - found["reference_accuracy"])
        return [
            Line(name, f"linear probe, {size}, {sizes['fine']} classes, one fit", found["seconds"]),
            Line(name, "  scikit-learn's", found["reference_seconds"]),
            Line(name, "  ratio to it", found["seconds"] / found["reference_seconds"], "", 1),
            Line(name, "  test accuracy", 100 * found["accuracy"], "%"),
            Line(name, "  difference from scikit-learn's", points, "points", 0.1),
        ]
    if name == "knn":
        return [Line(name, f"k-NN, {sizes['tests']:,} against {size}", found["seconds"], limit=3)]
    return [
        Line(name, f"600 five-way episodes, 5 shots, {sizes['dims']} dimensions", found["seconds"], limit=3),
        Line(name, "  all settings", found["all_seconds"]),
    ]


def _labels(images: int, fine: int) -> "Tensor":
    """(images,) int64, every class equally often."""
    import torch

    return torch.arange(images) % fine


def _problem(images: int, dims: int, coarse: int, fine: int, labelled: int = 0) -> tuple[Any, ...]:
    """Features, labels, head and probe: the arguments of the collapse metrics."""
    import torch

    rng = torch.Generator().manual_seed(2)
    head, probe = ((torch.randn(k, dims, generator=rng), torch.zeros(k)) for k in (coarse, fine))
    features = _features(images, dims, fine, seed=0)
    return features, _labels(labelled or images, fine), torch.arange(fine) % coarse, head, probe


def _features(images: int, dims: int, fine: int, seed: int) -> "Tensor":
    """(images, dims) float32, made in place."""
    import torch

    made, place = torch.empty(images, dims), 0
    for chunk in _made(images, dims, fine, seed):
        made[place : place + len(chunk)] = chunk
        place += len(chunk)
    return made


def _made(images: int, dims: int, fine: int, seed: int) -> Iterator["Tensor"]:
    """Features in chunks: overlapping classes, axes of decaying variance, turned and rectified as a network's are."""
    import torch

    shared = torch.Generator().manual_seed(0)
    axes = torch.arange(1, dims + 1) ** -0.5
    turn = torch.linalg.qr(torch.randn(dims, dims, generator=shared))[0] * dims**0.5
    means = torch.randn(fine, dims, generator=shared)
    rng = torch.Generator().manual_seed(seed + 1)
    for labels in _labels(images, fine).split(CHUNK):
        noise = torch.randn(len(labels), dims, generator=rng)
        yield (((DISTANCE * means[labels] + noise) * axes) @ turn + 0.1).relu_()


def _standardised(images: int, tests: int, dims: int, fine: int) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
    """Features and labels to fit a probe on, and to test it on."""
    x, x_test = _features(images, dims, fine, seed=0), _features(tests, dims, fine, seed=1)
    mean, scale = x.mean(dim=0), x.std(dim=0)
    return (x - mean) / scale, _labels(images, fine), (x_test - mean) / scale, _labels(tests, fine)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
