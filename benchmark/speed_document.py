"""The figures of `c2f speed` as a file, and whether later ones are worse: ratios are compared, never milliseconds."""

import dataclasses
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from pydantic import BaseModel, ConfigDict, ValidationError

import benchmark
from benchmark import pretrain
from benchmark.errors import InputError
from benchmark.speed import Line, Setting
from benchmark.speed_parts import Part

FORMAT = 1
MOST_BYTES = 1 << 20


class _Figure(BaseModel):
    """What is compared of a line."""

    name: str
    to_bare: float
    to_baseline: float
    quartiles: tuple[float, float]


class _Document(BaseModel):
    """A file that an earlier `c2f speed --json` wrote."""

    model_config = ConfigDict(extra="ignore")

    format: int
    setting: dict[str, Any]
    machine: dict[str, Any]
    lines: list[_Figure]


@dataclasses.dataclass(frozen=True)
class Change:
    """A line of two documents.

    Attributes:
        name: of the line.
        old: its seconds per image over the bare step's, then.
        new: the same, now.
        regressed: whether it grew by more than the threshold, and the quartiles of old and new lie apart.
    """

    name: str
    old: float
    new: float
    regressed: bool


def write(setting: Setting, rounds: int, lines: Sequence[Line], parts: Sequence[Part]) -> str:
    """All figures as JSON with setting and machine; null where there is no figure."""
    values = {
        "format": FORMAT,
        "version": benchmark.__version__,
        "setting": _setting(setting),
        "machine": _machine(setting.device),
        "rounds": rounds,
        "lines": [dataclasses.asdict(line) for line in lines],
        "parts": [dataclasses.asdict(part) for part in parts],
    }
    return json.dumps(_without_nan(values), indent=2, allow_nan=False) + "\n"


def compare(old: Path, setting: Setting, lines: Sequence[Line], threshold: float) -> tuple[list[Change], list[str]]:
    """What became of every line that an earlier document has, too; and notes on what differs around them.

    Args:
        old: written by an earlier run of the same setting.
        setting: of the new lines.
        lines: new ones.
        threshold: growth of a ratio that counts as a regression, > 1.

    Raises:
        InputError: as `read`.
    """
    before = read(old, setting)
    here = _machine(setting.device)
    notes = [
        f"{name} was {before.machine.get(name)!r}, is {value!r}"
        for name, value in here.items()
        if before.machine.get(name) != value
    ]
    then, now = _spreads(before.lines), _spreads([_Figure(**vars(line)) for line in lines])
    changes = []
    for name in (name for name in now if name in then):
        (low, new, _), (_, past, high) = now[name], then[name]
        changes.append(Change(name, past, new, new > threshold * past and low > high))
    return changes, notes


def read(path: Path, setting: Setting) -> _Document:
    """An earlier document of the same setting.

    Raises:
        InputError: for a file that is none, or is of another setting.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"--compare {path}: larger than 1 MiB; name a file of `c2f speed --json`")
        found = _Document.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"--compare {path}: cannot be read ({error.strerror}); name another file") from None
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
        raise InputError(f"--compare {path}: {where} is not as `c2f speed --json` writes it; measure anew") from None
    if found.format != FORMAT:
        raise InputError(f"--compare {path}: format {found.format}, expected {FORMAT}; measure anew")
    if not any(line.name == "bare step" for line in found.lines):
        raise InputError(f"--compare {path}: it has no bare step; measure anew")
    wanted = _setting(setting)
    if differing := [name for name in wanted if found.setting.get(name) != wanted[name]]:
        was = ", ".join(f"{name} {found.setting.get(name)!r} and not {wanted[name]!r}" for name in differing)
        raise InputError(f"--compare {path}: measured with {was}; measure with the same setting")
    return found


def change_table(changes: Sequence[Change]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows for people."""
    rows: list[tuple[str, ...]] = [
        (one.name, f"{one.old:.3f}", f"{one.new:.3f}", f"{one.new / one.old:.3f}", "regressed" * one.regressed)
        for one in changes
        if one.name != "bare step"
    ]
    return ("what", "ratio to bare then", "now", "now over then", ""), rows


def part_table(parts: Sequence[Part]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows for people."""
    rows: list[tuple[str, ...]] = [
        (part.method, part.name, f"{part.milliseconds:.2f}", f"{part.host_milliseconds:.2f}", f"{part.share:.1%}")
        for part in parts
    ]
    return ("step", "part", "ms", "of the host", "share"), rows


def _spreads(figures: Sequence[_Figure]) -> Mapping[str, tuple[float, float, float]]:
    """Lower quartile, median and upper quartile of the ratio to the bare step."""
    bare, found = next(one for one in figures if one.name == "bare step"), {}
    for one in figures:
        low, high = (quartile / bare.to_baseline for quartile in one.quartiles)
        if one.name == "baseline":  # what others are compared with: its noise is in the bare step's quartiles
            low, high = 1 / bare.quartiles[1], 1 / bare.quartiles[0]
        found[one.name] = (low, one.to_bare, high)
    return found


def _setting(setting: Setting) -> dict[str, Any]:
    dtype = pretrain.autocast_dtype(setting.precision, setting.device)
    return {
        "backbone": setting.backbone,
        "image_size": setting.image_size,
        "batch_size": setting.batch_size,
        "precision": "bf16" if dtype else "fp32",
        "device": setting.device.type,
        "threads": torch.get_num_threads(),
    }


def _machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
