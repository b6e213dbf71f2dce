"""Published rows are append-only: one that is replaced moves to history/, and a git commit says what was there before.

`history/<key>.<digest>.json` holds a row that was replaced, with the day and the reason; its predictions lie beside it.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from benchmark.errors import InputError
from benchmark.store import Store, encode, reporting, write_once
from benchmark.submission import rows
from benchmark.submission.parcel import KEY, shown

HISTORY = "history"
_CELL = re.compile(rf"(?P<folder>.+)/cells/(?P<key>{KEY})\.json", re.ASCII)
_PREDICTIONS = re.compile(r"(?P<folder>.+)/predictions/(?P<name>[^/]+\.npz)", re.ASCII)
_KEPT = re.compile(r".+/(history|submissions)/[^/]+", re.ASCII)
_FAILURE = re.compile(rf"(?P<folder>.+)/failures/(?P<key>{KEY})\.json", re.ASCII)


class Replaced(rows.Strict):
    """What history/ keeps of a row."""

    replaced_on: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d\z")]
    reason: Annotated[rows.Text, Field(min_length=1)]
    row: dict[str, Any]


def replace(store: Store, record: Mapping[str, Any], predictions: bytes, reason: str, day: str) -> None:
    """Put a row in the place of the one with its key, which history/ keeps.

    Args:
        store: of the published row.
        record: the new row.
        predictions: its file.
        reason: one line.
        day: UTC, ISO 8601.
    """
    key = record["cell"]["key"]
    old = store.record(key)
    path, folder = store.cells / f"{key}.json", store.folder / HISTORY
    beside = store.predictions_of(key, old["provenance"]["predictions_digest"])
    with reporting(store.folder):
        folder.mkdir(exist_ok=True)
        kept = folder / f"{key}.{hashlib.sha256(encode(old)).hexdigest()[:8]}.json"
        write_once(kept, encode({"replaced_on": day, "reason": reason, "row": old}))
        if beside.is_file():
            beside.replace(folder / beside.name)
        path.unlink()
    store.insert(record, predictions)


@dataclass(frozen=True)
class Before:
    """What a commit has below a folder.

    Attributes:
        top: of the checkout.
        commit: its hash.
        files: every file below the folder, relative to `top`.
        changed: those that are not the same now, or gone.
    """

    top: Path
    commit: str
    files: frozenset[str]
    changed: frozenset[str]

    def content(self, name: str) -> bytes:
        """Of one of the files."""
        return _git(self.top, "cat-file", "blob", f"{self.commit}:{name}")


def before(ref: str, folder: Path) -> Before:
    """What a commit has below a folder of its checkout.

    Raises:
        InputError: if there is no checkout, or no such commit in it.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").decode().strip()
    below = folder.resolve().relative_to(top.resolve()).as_posix()
    names = _git(top, "ls-tree", "-r", "-z", "--name-only", commit, "--", f":(literal){below}")
    options = ("--no-renames", "--no-ext-diff", "--no-textconv", "--name-only", "-z")
    changed = _git(top, "diff", *options, commit, "--", f":(literal){below}")
    files, differing = (frozenset(filter(None, found.decode().split("\0"))) for found in (names, changed))
    return Before(top, commit, files, files & differing)


def breaches(past: Before) -> Iterator[str]:
    """Rows that have vanished or changed since a commit without a place in history/, a line each."""
    for name in sorted(past.changed):
        if found := _CELL.fullmatch(name):
            if not _in_history(past, found["folder"], found["key"], past.content(name)):
                deed = "was changed" if (past.top / name).is_file() else "was deleted"
                yield (
                    f"{name}: {deed}; rows are append-only: put it back, and replace it with "
                    "`c2f accept ARCHIVE --replace REASON`, which keeps it in history/"
                )
        elif found := _PREDICTIONS.fullmatch(name):
            moved = past.top / found["folder"] / HISTORY / found["name"]
            if not _is(moved, past.content(name)):
                yield f"{name}: was changed or deleted, and is not in history/; put it back"
        elif _KEPT.fullmatch(name):
            yield f"{name}: was changed or deleted; history/ and submissions/ only grow. Put it back"
        elif (found := _FAILURE.fullmatch(name)) and not (past.top / name).is_file():
            if not (past.top / found["folder"] / "cells" / f"{found['key']}.json").is_file():
                yield f"{name}: was deleted, and no row has taken its place; put it back"


def _in_history(past: Before, folder: str, key: str, content: bytes) -> bool:
    """Whether history/ keeps a row, with day and reason."""
    old = json.loads(content)
    return any(_kept(path) == old for path in (past.top / folder / HISTORY).glob(f"{key}.*.json"))


def _kept(path: Path) -> Any:
    try:
        value = rows.parse(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value["row"] if not rows.checked(Replaced, value) else None


def _is(path: Path, content: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == content


def _git(folder: Path, *words: str) -> bytes:
    try:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, check=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or b"no such commit, or no checkout of git"
        raise InputError(
            f"--against: {shown(said.decode(errors='replace').strip())}; run it in a checkout that has the commit"
        ) from None
