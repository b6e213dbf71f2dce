"""What `c2f doctor` finds: the machine, the tasks that can run here now, and what the others lack."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

import benchmark
from benchmark import hierarchy, provenance, registry
from benchmark.data import at_hand, cache
from benchmark.data.loading import unmatched
from benchmark.errors import InputError
from benchmark.pretrain import autocast_dtype
from benchmark.schema import Hierarchy


@dataclass(frozen=True)
class Verdict:
    """Whether some tasks can run here, and lines that say why so or what to do about it."""

    tasks: tuple[str, ...]
    state: Literal["ready", "missing", "broken"]
    lines: tuple[str, ...]


def machine(root: Path) -> Iterator[tuple[str, str]]:
    """What a bug report needs: versions, devices, folders and their free space."""
    commit, changed = provenance.commit_of_checkout()
    yield "c2f", benchmark.__version__ + (f", commit {commit[:12]}{' and changes' * changed}" if commit else "")
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    others = (f"{name} {version(name)}" for name in ("torchvision", "timm", "numpy"))
    yield "packages", ", ".join([f"torch {torch.__version__}", *others])
    cpu = torch.device("cpu")
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    yield "CPU", f"{provenance.device_name(cpu)}, {cores}, {_bf16(cpu)}"
    yield "CUDA", "; ".join(_gpus()) or "no device"
    yield "images", f"{root} ({_free(root)})"
    yield "cache", f"{cache.folder()} ({_free(cache.folder())})"


def _gpus() -> Iterator[str]:
    for i in range(torch.cuda.device_count()):
        device = torch.device("cuda", i)
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        yield f"{i}: {provenance.device_name(device)}, {memory:.0f} GiB, {_bf16(device)}"


def _bf16(device: torch.device) -> str:
    return "bf16" if autocast_dtype("auto", device) else "no bf16"


def _free(folder: Path) -> str:
    """Free space where a folder is or would be made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = f"{shutil.disk_usage(there).free / 1e9:.0f} GB free"
    return free if there == folder.absolute() else f"no such folder yet, {free}"


def examine(root: Path, extra: Path | None = None) -> Iterator[Verdict]:
    """A verdict on the tasks of each source, and on every task that would fail whatever images are here.

    Args:
        root: where images may be.
        extra: a further folder of hierarchy files.
    """
    files, trees = registry.task_files(extra), {}
    for name, path in files.items():
        try:
            trees[name] = hierarchy.load(path, files)
            registry.task_of(trees[name], path)
        except InputError as error:
            trees.pop(name, None)
            yield Verdict((name,), "broken", (str(error),))
    for source in dict.fromkeys(tree.source for tree in trees.values()):
        yield from _of_source(source, [tree for tree in trees.values() if tree.source == source], root)


def _of_source(source: str, trees: list[Hierarchy], root: Path) -> Iterator[Verdict]:
    names = tuple(tree.name for tree in trees)
    try:
        images = at_hand.availability(trees[0], root)
    except InputError as error:  # no such source
        yield Verdict(names, "broken", (str(error),))
        return
    if not images.ready:
        lack = f"{source}: {images.missing}" + (f" ({images.size})" if images.size else "")
        yield Verdict(names, "missing", (lack, *(f"→ {remedy}" for remedy in images.how)))
        return
    problems = {tree.name: _misfit(tree, root) for tree in trees}
    if fit := tuple(name for name in names if not problems[name]):
        yield Verdict(fit, "ready", (f"{source}: {images.note or 'at hand'}",))
    yield from (Verdict((name,), "broken", (problem,)) for name, problem in problems.items() if problem)


def _misfit(tree: Hierarchy, root: Path) -> str:
    """Why images that are here do not serve a hierarchy; empty if they do."""
    classes = at_hand.classes(tree, root)
    missing, extra = unmatched(tree, classes) if classes is not None else ((), ())
    parts = [f"{len(missing)} classes without images, e.g. {missing[0]}"] if missing else []
    parts += [f"{len(extra)} classes that nobody claims, e.g. {extra[0]}"] if extra else []
    return f"{tree.source} has {' and '.join(parts)}; c2f check lists all" if parts else ""
