"""Rows on disk: one JSON per cell, whole or absent, first writer wins; CSVs are merged from them at any time.

`cells/<key>.json` are the truth. A failed cell leaves `failures/<key>.json`, which a later success outranks.
"""

import csv
import dataclasses
import errno
import json
import math
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.errors import InputError
from benchmark.schema import (
    CELL_COLUMNS,
    HISTORY_COLUMNS,
    RESULT_COLUMNS,
    SCHEMA_VERSION,
    Cell,
    Row,
    cell_columns,
)

DRAFT_AGE_SECONDS = 24 * 3600  # drafts older than this belong to nobody alive


class Store:
    """The output folder of a sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.failures = folder / "failures"

    def open(self) -> None:
        """Make the folder, or check that it is ours and can be written.

        Raises:
            InputError: if it was made by another schema version, or cannot be written.
        """
        with _reporting(self.folder):
            for path in (self.cells, self.failures):
                path.mkdir(parents=True, exist_ok=True)
                _remove_old_drafts(path)
            marker = self.folder / "store.json"
            if not marker.exists():
                _publish(marker, {"schema": SCHEMA_VERSION})
            probe = self.cells / f".{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        self.check_schema()

    def check_schema(self) -> None:
        """Raise InputError unless the folder holds results of this schema version."""
        marker = self.folder / "store.json"
        try:
            found = json.loads(marker.read_text())["schema"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{self.folder}: no results folder (no valid store.json); check the path") from None
        if found != SCHEMA_VERSION:
            raise InputError(
                f"{self.folder}: made with schema version {found}, this program writes {SCHEMA_VERSION}; "
                "name another folder with --out"
            )

    def has(self, key: str) -> bool:
        """Whether a cell is done."""
        return (self.cells / f"{key}.json").exists()

    def failed(self, key: str) -> bool:
        """Whether a cell has failed and not succeeded since."""
        return not self.has(key) and (self.failures / f"{key}.json").exists()

    def publish(self, row: Row) -> None:
        """Write a row; if the cell has one already, that one stays.

        Raises:
            InputError: if the folder cannot be written or is full.
        """
        record = {
            "schema": SCHEMA_VERSION,
            "cell": cell_columns(row.cell),
            **{part: dataclasses.asdict(getattr(row, part)) for part in ("scores", "selection", "cost", "provenance")},
            "history": [dict(epoch) for epoch in row.history],
        }
        with _reporting(self.folder):
            _publish(self.cells / f"{row.cell.key}.json", record)

    def fail(self, cell: Cell, reason: str, traceback: str, seconds: float) -> None:
        """Record a failure, replacing an earlier one."""
        record = {
            "schema": SCHEMA_VERSION,
            "cell": cell_columns(cell),
            "reason": reason,
            "traceback": traceback,
            "seconds": seconds,
        }
        with _reporting(self.folder):
            (self.failures / f"{cell.key}.json").unlink(missing_ok=True)
            _publish(self.failures / f"{cell.key}.json", record)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every cell as a mapping with RESULT_COLUMNS; failed ones have `status` failed and a reason."""
        for record in self._records(self.cells):
            flat = {k: v for part in ("scores", "selection", "cost", "provenance") for k, v in record[part].items()}
            yield {**dict.fromkeys(RESULT_COLUMNS), **record["cell"], **flat, "status": "ok", "reason": ""}
        for record in self._records(self.failures):
            if not self.has(record["cell"]["key"]):
                blank = dict.fromkeys(RESULT_COLUMNS)
                yield {**blank, **record["cell"], "status": "failed", "reason": record["reason"]}

    def merge(self) -> None:
        """Write results.csv and history.csv from the cells, each replaced as a whole."""
        with _reporting(self.folder):
            rows = sorted(self.rows(), key=_order)
            _write_csv(self.folder / "results.csv", RESULT_COLUMNS, rows)
            records = sorted(self._records(self.cells), key=lambda record: _order(record["cell"]))
            epochs = [{**record["cell"], **epoch} for record in records for epoch in record["history"]]
            named = {*CELL_COLUMNS, *HISTORY_COLUMNS}
            diagnostics = sorted({column for epoch in epochs for column in epoch} - named)
            columns = ("key", "task", "method", "method_params", "backbone", "recipe", "seed")
            _write_csv(self.folder / "history.csv", (*columns, *HISTORY_COLUMNS, *diagnostics), epochs)

    def _records(self, folder: Path) -> Iterator[dict[str, Any]]:
        for path in sorted(folder.glob("*.json")):
            try:
                record = json.loads(path.read_text())
                sound = record["schema"] == SCHEMA_VERSION and record["cell"]["key"] == path.stem
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: not a whole row ({error}); delete it, its cell runs again") from error
            if not sound:
                raise InputError(f"{path}: not the row its name says; delete it, its cell runs again")
            yield record


def _order(cell: Mapping[str, Any]) -> tuple[str, str, str, str, str, int]:
    return (
        cell["task"],
        cell["backbone"],
        cell["recipe"],
        cell["method"],
        cell["method_params"],
        int(cell["seed"]),
    )


def _publish(path: Path, record: Mapping[str, Any]) -> None:
    """Whole or not at all, and the first writer wins: a draft beside it, flushed to disk, then linked."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("x") as file:
            json.dump(_finite(record), file, indent=1, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES):
                raise
            draft.replace(path)  # a file system without hard links
    finally:
        draft.unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    """JSON has no NaN: undefined becomes null, infinities become strings that pandas and float() read."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("x", newline="") as file:
            writer = csv.DictWriter(file, list(columns), extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _remove_old_drafts(folder: Path) -> None:
    for draft in folder.glob(".*.json.*"):
        if time.time() - draft.stat().st_mtime > DRAFT_AGE_SECONDS:
            draft.unlink(missing_ok=True)


@contextmanager
def _reporting(folder: Path) -> Iterator[None]:
    """Turns a failure to write into one line."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"output folder {folder} cannot be written ({error.strerror}); free some space, mend the "
            "permissions or name another with --out. Rows already there are whole"
        ) from error
