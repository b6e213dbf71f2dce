"""How far a results folder is: done, running, queued, failed, missing; read from names of files and heartbeats."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import jobs
from benchmark.claims import SHOWN, Claims, Running
from benchmark.errors import InputError
from benchmark.schema import Cell, cell_columns
from benchmark.store import Store, replace_whole, reporting

DONE, WANTING, AT_WORK = 0, 1, 3  # exit codes; 2 is bad input


@dataclass(frozen=True)
class Status:
    """The cells of the last launch into a folder, and whatever runs or has failed there.

    Attributes:
        planned: how many cells the last launch is of.
        done: how many of them have a row.
        running: cells that somebody is at work on.
        queued: keys of cells whose job waits for its turn, or is about to begin.
        failed: records of failed cells.
        missing: cells of the last launch that are none of these; the columns SHOWN.
        unknown: why jobs of the folder cannot be asked after here; then queued cells count as missing.
    """

    planned: int
    done: int
    running: tuple[Running, ...]
    queued: tuple[str, ...]
    failed: tuple[Mapping[str, Any], ...]
    missing: tuple[Mapping[str, Any], ...]
    unknown: str = ""

    @property
    def exit_code(self) -> int:
        """AT_WORK while anything runs or waits in a queue; then WANTING if cells failed or are missing, else DONE."""
        if self.running or self.queued:
            return AT_WORK
        return WANTING if self.failed or self.missing else DONE


def note(store: Store, cells: Iterable[Cell]) -> None:
    """Remember the cells of a launch, so that those it does not come to can be told to be missing.

    Raises:
        InputError: if the folder cannot be written.
    """
    columns = {cell.key: cell_columns(cell) for cell in cells}
    planned = {key: [row[name] for name in SHOWN] for key, row in columns.items()}
    with reporting(store.folder):
        replace_whole(_plan(store), json.dumps({"columns": SHOWN, "cells": planned}) + "\n")


def read(folder: Path) -> Status:
    """How far a folder is.

    Raises:
        InputError: if it is no results folder, or a record in it is not whole.
    """
    store = Store(folder)
    store.check_schema()
    done, failed = store.keys()
    running = tuple(claim for claim in Claims(folder).running() if claim.alive and claim.key not in done)
    busy = {claim.key for claim in running}
    try:
        queued, unknown = jobs.alive(folder).keys() - done - busy, ""
    except InputError as error:
        queued, unknown = set[str](), str(error)
    failed -= busy | queued
    planned = _planned(store) or dict.fromkeys(done | failed)
    known = done | busy | queued | failed
    absent = [cell for key, cell in planned.items() if key not in known]
    return Status(
        planned=len(planned),
        done=len(done & planned.keys()),
        running=running,
        queued=tuple(sorted(queued)),
        failed=tuple(store.failure(key) for key in sorted(failed)),
        missing=tuple(dict(zip(SHOWN, cell or (), strict=False)) for cell in absent),
        unknown=unknown,
    )


def remaining_seconds(running: Running) -> float | None:
    """Of training, as fast as it went so far; None before its first batch is done."""
    images, total = (running.progress.get(name, 0.0) for name in ("images", "total"))
    if not images:
        return None
    return max(running.progress["seconds"] * (total - images) / images - running.silent, 0.0)


def _plan(store: Store) -> Path:
    return store.folder / "planned.json"


def _planned(store: Store) -> dict[str, list[Any] | None]:
    """Cells of the last launch by key; nothing in a folder of an older version."""
    try:
        cells = json.loads(_plan(store).read_text())["cells"]
        return {str(key): list(cell) for key, cell in cells.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{_plan(store)}: not whole ({error}); the launch's command writes it anew") from None
