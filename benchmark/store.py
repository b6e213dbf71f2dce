"""Rows on disk: one JSON per cell, whole or absent, first writer wins; CSVs are merged from them at any time.

`cells/<key>.json` are the truth. A failed cell leaves `failures/<key>.json`, which a later success outranks. Beside a
row lie its predictions, `predictions/<key>.<digest>.npz`, and its features if they were kept. A cell in training has
`checkpoints/`.
"""

import csv
import dataclasses
import errno
import io
import json
import math
import os
import platform
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from benchmark.errors import InputError
from benchmark.metrics import FIGURE_COLUMNS, Figure, excess, wide
from benchmark.schema import (
    CELL_COLUMNS,
    HISTORY_COLUMNS,
    RESULT_COLUMNS,
    SCHEMA_VERSION,
    Cell,
    Row,
    cell_columns,
)

SHORT_COLUMNS = ("key", "task", "method", "method_params", "backbone", "recipe", "seed")  # of the long tables
_TEXTS = ("metric", "split", "layer", "superclass")  # of a figure; a class may be called "inf"
DRAFT_AGE_SECONDS = 24 * 3600  # drafts older than this belong to nobody alive

FailureKind = Literal["exception", "nan", "out_of_memory", "killed", "timeout"]


class Store:
    """The output folder of a sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.failures = folder / "failures"
        self.predictions = folder / "predictions"
        self.features = folder / "features"
        self.checkpoints = folder / "checkpoints"

    def open(self) -> None:
        """Make the folder, or check that it is ours and can be written.

        Raises:
            InputError: if it was made by another schema version, or cannot be written.
        """
        with reporting(self.folder):
            for path in (self.cells, self.failures, self.predictions):
                path.mkdir(parents=True, exist_ok=True)
            for path in (self.folder, self.cells, self.failures, self.predictions, self.folder / "running"):
                _remove_old_drafts(path)
            marker = self.folder / "store.json"
            if not marker.exists():
                write_once(marker, encode({"schema": SCHEMA_VERSION}))
            probe = draft_of(self.cells / "probe")
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

    def set_aside_damaged(self) -> list[str]:
        """Rename rows and failures that are not whole, so that their cells run again; a line about each.

        Raises:
            InputError: if the folder cannot be written, or a file cannot be read, which says nothing of its content.
        """
        lines = []
        for path in [*sorted(self.cells.glob("*.json")), *sorted(self.failures.glob("*.json"))]:
            try:
                _read(path)
            except InputError as error:
                if isinstance(error.__cause__, OSError):
                    if not path.exists():  # another launch was faster
                        continue
                    raise InputError(f"{path}: cannot be read ({error.__cause__.strerror}); mend that first") from error
                with reporting(self.folder):
                    path.replace(path.with_name(f"{path.name}.damaged"))
                lines.append(f"{path}: not a whole row; it is called {path.name}.damaged now, and its cell runs again")
        return lines

    def has(self, key: str) -> bool:
        """Whether a cell is done."""
        return (self.cells / f"{key}.json").exists()

    def failed(self, key: str) -> bool:
        """Whether a cell has failed and not succeeded since."""
        return not self.has(key) and (self.failures / f"{key}.json").exists()

    def publish(self, row: Row, predictions: bytes) -> None:
        """Write a row and its predictions; if the cell has a row already, that one stays.

        Raises:
            InputError: if the folder cannot be written or is full.
        """
        record = {
            "schema": SCHEMA_VERSION,
            "cell": cell_columns(row.cell),
            **{part: dataclasses.asdict(getattr(row, part)) for part in ("selection", "cost", "provenance")},
            "figures": [dataclasses.asdict(figure) for figure in row.figures],
            "history": [dict(epoch) for epoch in row.history],
        }
        self.insert(record, predictions)

    def insert(self, record: Mapping[str, Any], predictions: bytes) -> None:
        """Write a row as it is stored elsewhere, and its predictions; as `publish` does."""
        key, digest = record["cell"]["key"], record["provenance"]["predictions_digest"]
        beside = self.predictions_of(key, digest)
        with reporting(self.folder):
            write_once(beside, predictions)
            write_once(self.cells / f"{key}.json", encode(record))
        if self.record(key)["provenance"]["predictions_digest"] != digest:
            beside.unlink(missing_ok=True)  # another writer was first

    def predictions_of(self, key: str, digest: str) -> Path:
        """The file of a row's predictions; its name says which row of two writers it belongs to."""
        return self.predictions / f"{key}.{digest[:8]}.npz"

    def fail(
        self,
        cell: Cell,
        reason: str,
        traceback: str,
        seconds: float,
        kind: FailureKind = "exception",
        log: Path | None = None,
    ) -> None:
        """Record a failure, replacing an earlier one.

        Args:
            cell: what was run.
            reason: one line.
            traceback: where it happened; empty if its process was killed.
            seconds: from its beginning.
            kind: the class of the reason.
            log: what its process printed; recorded relative to this folder.
        """
        record = {
            "schema": SCHEMA_VERSION,
            "cell": cell_columns(cell),
            "reason": reason,
            "traceback": traceback,
            "seconds": seconds,
            "kind": kind,
            "host": platform.node(),
            "log": log.relative_to(self.folder).as_posix() if log else "",
        }
        with reporting(self.folder):
            (self.failures / f"{cell.key}.json").unlink(missing_ok=True)
            write_once(self.failures / f"{cell.key}.json", encode(record))

    def record(self, key: str) -> dict[str, Any]:
        """A finished cell as it is stored."""
        return _read(self.cells / f"{key}.json")

    def records(self) -> Iterator[dict[str, Any]]:
        """Every finished cell as it is stored, by key."""
        return self._records(self.cells)

    def failed_records(self) -> Iterator[dict[str, Any]]:
        """Every cell that has failed and not succeeded since, as it is stored, by key."""
        return (record for record in self._records(self.failures) if not self.has(record["cell"]["key"]))

    def keys(self) -> tuple[set[str], set[str]]:
        """Cells that are done, and cells that have failed and not succeeded since; by the names of files alone."""
        done, failed = (_keys(folder) for folder in (self.cells, self.failures))
        return done, failed - done

    def failure(self, key: str) -> dict[str, Any]:
        """A failed cell as it is stored."""
        return _read(self.failures / f"{key}.json")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every cell as a mapping with RESULT_COLUMNS; failed ones have `status` failed and a reason."""
        for record in self.records():
            flat = {k: v for part in ("selection", "cost", "provenance") for k, v in record[part].items()}
            flat |= wide(figures(record)) | excess(figures(record))
            yield {**dict.fromkeys(RESULT_COLUMNS), **record["cell"], **flat, "status": "ok", "reason": ""}
        for record in self.failed_records():
            blank = dict.fromkeys(RESULT_COLUMNS)
            yield {**blank, **record["cell"], "status": "failed", "reason": record["reason"]}

    def merge(self) -> None:
        """Write results.csv, scores.csv and history.csv from the cells, each replaced as a whole."""
        with reporting(self.folder):
            for name, text in self._tables().items():
                replace_whole(self.folder / name, text)

    def stale(self) -> list[str]:
        """Names of the merged tables that are not what the cells say."""
        expected = self._tables()
        return [name for name, text in expected.items() if _text(self.folder / name) != text]

    def _tables(self) -> dict[str, str]:
        records = sorted(self.records(), key=lambda record: _order(record["cell"]))
        lines = [
            {**record["cell"], **dataclasses.asdict(figure), **figure.over}
            for record in records
            for figure in figures(record)
        ]
        epochs = [{**record["cell"], **epoch} for record in records for epoch in record["history"]]
        diagnostics = sorted({column for epoch in epochs for column in epoch} - {*CELL_COLUMNS, *HISTORY_COLUMNS})
        return {
            "results.csv": _csv(RESULT_COLUMNS, sorted(self.rows(), key=_order)),
            "scores.csv": _csv((*SHORT_COLUMNS, *FIGURE_COLUMNS), lines),
            "history.csv": _csv((*SHORT_COLUMNS, *HISTORY_COLUMNS, *diagnostics), epochs),
        }

    def _records(self, folder: Path) -> Iterator[dict[str, Any]]:
        return (_read(path) for path in sorted(folder.glob("*.json")))


def figures(record: Mapping[str, Any]) -> tuple[Figure, ...]:
    """The lines of scores.csv of a stored cell."""
    return tuple(
        Figure(**{name: value if name in _TEXTS else _number(value) for name, value in line.items()})
        for line in record["figures"]
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        sound = record["schema"] == SCHEMA_VERSION and record["cell"]["key"] == path.stem
        if sound and "reason" not in record:  # a failure has no figures
            figures(record)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a whole row ({error}); delete it, its cell runs again") from error
    if not sound:
        raise InputError(f"{path}: not the row its name says; delete it, its cell runs again")
    return record


def _order(cell: Mapping[str, Any]) -> tuple[str, str, str, str, str, int]:
    return (
        cell["task"],
        cell["backbone"],
        cell["recipe"],
        cell["method"],
        cell["method_params"],
        int(cell["seed"]),
    )


def encode(record: Mapping[str, Any]) -> bytes:
    """Readable, and a line for each member of a list: rows are compared by eye and by version control."""
    parts = []
    for name, value in finite(record).items():
        if isinstance(value, list):
            text = (
                "[\n  " + ",\n  ".join(json.dumps(line, allow_nan=False) for line in value) + "\n ]" if value else "[]"
            )
        else:
            text = json.dumps(value, indent=1, allow_nan=False).replace("\n", "\n ")
        parts.append(f" {json.dumps(name)}: {text}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def write_once(path: Path, content: bytes) -> None:
    """Whole or not at all, and the first writer wins: a draft beside it, flushed to disk, then linked."""
    draft = draft_of(path)
    try:
        with draft.open("xb") as file:
            file.write(content)
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


def finite(value: Any) -> Any:
    """JSON has no NaN: undefined becomes null, infinities become strings that pandas and float() read."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    return [finite(v) for v in value] if isinstance(value, list | tuple) else value


def _number(value: Any) -> Any:
    """What `finite` made of a number, as a number again."""
    return math.nan if value is None else float(value) if value in ("inf", "-inf") else value


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Undefined is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(finite(row) for row in rows)
    return text.getvalue()


def replace_whole(path: Path, text: str) -> None:
    """The file as a whole, or what was there before."""
    draft = draft_of(path)
    try:
        draft.write_text(text, encoding="utf-8", newline="")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, ValueError):
        return ""


def draft_of(path: Path) -> Path:
    """A name beside a file that no other writer takes, and that says who does."""
    return path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}")


def _remove_old_drafts(folder: Path) -> None:
    """Those of processes of this host that have died, and very old ones: a kill has left them."""
    for draft in folder.glob(".*.*"):
        host, _, process = draft.suffix[1:].rpartition("-")[0].rpartition("-")
        with suppress(FileNotFoundError):  # its writer was faster
            old = time.time() - draft.stat().st_mtime > DRAFT_AGE_SECONDS
            if old or (host == _host() and process.isdecimal() and not _alive(int(process))):
                draft.unlink()


def _keys(folder: Path) -> set[str]:
    names = os.listdir(folder) if folder.is_dir() else ()  # noqa: PTH208, a Path of each name takes seconds
    return {name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")}


def _host() -> str:
    return platform.node().partition(".")[0]


def _alive(process: int) -> bool:
    """Whether there is such a process on this host; where the system does not tell without harm, it is taken to be."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


@contextmanager
def reporting(folder: Path) -> Iterator[None]:
    """Turns a failure to write into one line."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"output folder {folder} cannot be written ({error.strerror}); free some space, mend the "
            "permissions or name another with --out. Rows already there are whole"
        ) from error
