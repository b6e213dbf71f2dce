"""`c2f accept`: a stranger's archive, or a folder of published rows, checked; and an archive's rows added to them."""

import dataclasses
import re
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark import verify
from benchmark.data.source import Watcher
from benchmark.errors import InputError
from benchmark.schema import METRIC_VERSION
from benchmark.store import Store, encode, reporting, write_once
from benchmark.submission import inspection, ledger, manifest, parcel, rows
from benchmark.submission.inspection import Setting
from benchmark.submission.manifest import Manifest
from benchmark.submission.parcel import KEY, shown

SUBMISSIONS = "submissions"  # holds the manifests of accepted archives
# What a folder of published rows may hold; report/ is made of its rows, and is looked at by people.
_PUBLISHED = re.compile(
    rf"store\.json|results\.csv|scores\.csv|history\.csv|README\.md|cells/{KEY}\.json|failures/{KEY}\.json|"
    rf"predictions/{KEY}\.[0-9a-f]{{8}}\.npz|history/{KEY}\.[0-9a-f]{{8}}\.(?:json|npz)|submissions/[0-9a-f]{{16}}\.json|"
    r"report/[a-zA-Z0-9._-]+\.(?:md|csv|tex|png|svg|pdf)",
    re.ASCII,
)
_MAX_BYTES = 2**30  # of one of its tables


@dataclass(frozen=True)
class Terms:
    """How an archive is accepted.

    Attributes:
        published: the folder of published results folders.
        check: write nothing.
        replace: why rows that are published already may be replaced, one line; "": they may not.
        datasets_dir: a further folder of hierarchies.
        data_root: where images may be, whose labels are compared then.
        watcher: told of every row that is computed.
    """

    published: Path
    check: bool = False
    replace: str = ""
    datasets_dir: Path | None = None
    data_root: Path | None = None
    watcher: Watcher | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of rows.

    Attributes:
        folder: of the rows.
        num_rows: that were looked at.
        added: keys of rows that are new.
        replaced: keys of rows that take the place of others.
        problems: what is wrong, a line each; nothing was written if there are any.
        notes: what is worth knowing.
        from_archive: whether they came in one.
    """

    folder: Path
    num_rows: int = 0
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    from_archive: bool = False


def check_request(what: Path, check: bool, against: str, replace: str) -> None:
    """Raise InputError for options that do not go together."""
    if not what.exists():
        raise InputError(f"{what}: no such file or folder; name an archive, or a folder of published rows")
    if what.is_dir() and (not check or replace):
        raise InputError(f"{what} is a folder: it can only be checked; add --check, or name an archive")
    if against and not what.is_dir():
        raise InputError("--against is for --check of a folder of published rows; leave it out, or name the folder")


def accept(archive: Path, terms: Terms) -> Outcome:
    """Check everything of an archive, compute its scores again, and add its rows if nothing is wrong.

    Args:
        archive: that `c2f submit` made, or an enemy.
        terms: how to accept it.

    Raises:
        InputError: if it is no archive at all, or the published folder cannot be read or written.
    """
    if terms.replace and rows.checked(ledger.Replaced, {"replaced_on": _today(), "reason": terms.replace, "row": {}}):
        raise InputError("--replace takes a reason: one line of at most 300 characters that print")
    with tempfile.TemporaryDirectory() as folder:
        source, staged = Path(folder, "archive"), Store(Path(folder, "staged"))
        source.mkdir()
        if problems := parcel.unpack(archive, source):
            return Outcome(archive, problems=tuple(problems))
        try:
            submitted = manifest.read(source / parcel.MANIFEST)
        except InputError as error:
            return Outcome(archive, problems=(str(error),))
        target = Store(terms.published / submitted.name)
        if problems := [*manifest.differences(submitted, source), *_orphans(source)]:
            return Outcome(target.folder, problems=tuple(problems))
        staged.open()
        setting = Setting(terms.published, terms.datasets_dir, terms.data_root, watcher=terms.watcher)
        keys = sorted(path.stem for path in source.glob("cells/*.json"))
        problems, notes = inspection.inspect(source, keys, staged, setting)
        failures, wrong = _failures(source, terms.datasets_dir)
        change = _change(staged, target, terms)
        problems = [*problems, *wrong, *change.problems] or list(_idle(source, staged))
        if not problems and not terms.check:
            _write(target, staged, change, failures, submitted, terms.replace)
    notes = [*notes, *change.notes, *submitted.incomplete]
    return Outcome(target.folder, len(keys), change.added, change.replaced, tuple(problems), tuple(notes), True)


def _orphans(source: Path) -> Iterator[str]:
    """Predictions without a row, and failures of cells that have one."""
    keys = {path.stem for path in source.glob("cells/*.json")}
    if not keys:
        yield "there is no row in it"
    for path in sorted(source.glob("predictions/*.npz")):
        if path.name.partition(".")[0] not in keys:
            yield f"predictions/{path.name}: of no row in the archive"
    for path in sorted(source.glob("failures/*.json")):
        if path.stem in keys:
            yield f"failures/{path.name}: the cell has a row in the archive"


def _idle(source: Path, store: Store) -> Iterator[str]:
    """Files of predictions that no row is computed from."""
    digests = {record["cell"]["key"]: record["provenance"].get("predictions_digest", "") for record in store.records()}
    used = {store.predictions_of(key, digest).name for key, digest in digests.items()}
    for path in sorted(source.glob("predictions/*.npz")):
        if path.name not in used:
            yield f"predictions/{path.name}: no row is computed from it; take it out"


def _failures(source: Path, datasets_dir: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Records of failed cells, and what is wrong with them."""
    sound, problems = [], []
    for path in sorted(source.glob("failures/*.json")):
        try:
            record = rows.read_failure(path.read_bytes())
            if record["cell"]["key"] != path.stem:
                raise InputError(f"it says it is {record['cell']['key']}")
            inspection.claimed(record, datasets_dir)
        except InputError as error:
            problems.append(f"failures/{path.name}: {error}")
        else:
            sound.append(record)
    return sound, problems


@dataclass(frozen=True)
class _Change:
    """What accepting would do to the published rows."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def _change(staged: Store, target: Store, terms: Terms) -> _Change:
    """Rows that are published already stay, under whatever name; those that differ under this one need a reason."""
    if target.folder.exists():
        target.check_schema()
    elsewhere = _elsewhere(terms.published, target.folder)
    added, replaced, problems, known = [], [], [], []
    for record in staged.records():
        key = record["cell"]["key"]
        if key in elsewhere:
            known.append(elsewhere[key])
        elif not target.has(key):
            added.append(key)
        elif target.record(key) != record:
            replaced.append(key)
            if not terms.replace:
                problems.append(
                    f"cells/{key}.json: {target.folder.name} has another row of this cell; "
                    "--replace REASON puts this one in its place and keeps that one in history/"
                )
    notes = [
        f"{count} rows are of cells that {name} has: those stay, these are left out"
        for name, count in sorted(Counter(known).items())
    ]
    return _Change(tuple(added), tuple(replaced), tuple(problems), tuple(notes))


def _elsewhere(published: Path, folder: Path) -> dict[str, str]:
    """Names of other published folders by the keys of their rows: a cell counts once."""
    others = {marker.parent for marker in published.rglob("store.json")} - {folder}
    return {path.stem: at.name for at in sorted(others, reverse=True) for path in at.glob("cells/*.json")}


def _write(
    target: Store, staged: Store, change: _Change, failures: Iterable[Mapping[str, Any]], by: Manifest, reason: str
) -> None:
    """Add what is new; done again after a crash, it does the rest."""
    elsewhere = _elsewhere(target.folder.parent, target.folder)
    failures = [failure for failure in failures if failure["cell"]["key"] not in elsewhere]
    if not (change.added or change.replaced or failures):
        return
    target.open()
    for record in staged.records():
        key, digest = record["cell"]["key"], record["provenance"]["predictions_digest"]
        predictions = staged.predictions_of(key, digest).read_bytes()
        if key in change.replaced:
            ledger.replace(target, record, predictions, reason, _today())
        elif key in change.added:
            target.insert(record, predictions)
    with reporting(target.folder):
        for failure in failures:
            if not target.has(failure["cell"]["key"]):
                write_once(target.failures / f"{failure['cell']['key']}.json", encode(failure))
        (target.folder / SUBMISSIONS).mkdir(exist_ok=True)
        write_once(target.folder / SUBMISSIONS / f"{by.digest}.json", by.content)
    target.merge()


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def review(folder: Path, terms: Terms, against: str = "") -> list[Outcome]:
    """Check folders of published rows as an archive is checked, and that none has lost or changed a row.

    Args:
        folder: of results, or of folders of them.
        terms: `published` and `check` are not looked at.
        against: a git commit, whose rows are not computed again, and must still be there; "": every row is new.

    Raises:
        InputError: if there are no results, or no such commit.
    """
    past = ledger.before(against, folder) if against else None
    found = verify.folders([folder])
    outcomes = [Outcome(folder, problems=(*(ledger.breaches(past) if past else ()), *_stray(folder, found)))]
    doubled = {at: _elsewhere(folder, at) if past else {} for at in found}
    fresh = {store.folder: _fresh(store, past) for store in map(Store, found)}
    unproven = frozenset(Path(at, "cells", f"{key}.json") for at, keys in fresh.items() for key in keys)
    setting = Setting(folder, terms.datasets_dir, terms.data_root, unproven, terms.watcher)
    for at, keys in fresh.items():
        outcome = _reviewed(Store(at), keys, setting, past is not None)
        again = [
            f"cells/{key}.json: is of a cell that {doubled[at][key]} has; a cell is published once. Take it out"
            for key in keys
            if key in doubled[at]
        ]
        outcomes.append(dataclasses.replace(outcome, problems=(*outcome.problems, *again)))
    return outcomes


def _fresh(store: Store, past: ledger.Before | None) -> list[str]:
    """Keys of rows that are not in a commit as they are now."""
    keys = sorted(path.stem for path in store.cells.glob("*.json"))
    if past is None:
        return keys
    below = store.folder.resolve().relative_to(past.top.resolve()).as_posix()
    names = {key: f"{below}/cells/{key}.json" for key in keys}
    return [key for key, name in names.items() if name not in past.files or name in past.changed]


def _reviewed(store: Store, keys: list[str], setting: Setting, strict: bool) -> Outcome:
    """What is wrong with a folder; rows of another metric version only if they are new since a commit."""
    if problems := list(_strange(store.folder)):
        return Outcome(store.folder, problems=tuple(problems))
    store.check_schema()
    notes: list[str] = []
    if not strict:
        old = [key for key in keys if _is_outdated(store.cells / f"{key}.json")]
        keys = sorted(set(keys) - set(old))
        if old:
            notes.append(f"{len(old)} rows are of another metric version than {METRIC_VERSION}: outdated, not computed")
    with tempfile.TemporaryDirectory() as folder:
        staged = Store(Path(folder))
        staged.open()
        problems, more = inspection.inspect(store.folder, keys, staged, setting)
    if not problems:
        stale = (f"{name}: is not what the rows say; any `c2f accept` into it writes it anew" for name in store.stale())
        problems = [*_idle(store.folder, store), *stale]
    return Outcome(store.folder, len(keys), problems=tuple(problems), notes=(*notes, *more))


def _is_outdated(path: Path) -> bool:
    """Whether a file is a row of another metric version; what is no row at all is not outdated but wrong."""
    try:
        version = rows.parse(path.read_bytes())["cell"]["metric_version"]
    except (ValueError, LookupError, TypeError):
        return False
    return isinstance(version, int) and version != METRIC_VERSION


def _stray(folder: Path, found: Iterable[Path]) -> Iterator[str]:
    """Files beside the results folders."""
    inside = set(found)
    for path in sorted(folder.rglob("*")):
        plain = path.is_file() and not path.is_symlink()
        if (plain or path.is_symlink() or not path.is_dir()) and not inside & {path, *path.parents}:
            name = path.relative_to(folder).as_posix()
            if name != "README.md" or not plain:
                yield f"{shown(name)}: has no place beside folders of published rows; take it out"


def _strange(folder: Path) -> Iterator[str]:
    """Files that have no place among published rows, and those too large to be read."""
    for path in sorted(folder.rglob("*")):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        limit = parcel.MAX_MEMBER_BYTES.get(name.partition("/")[0], _MAX_BYTES)
        if not stat.S_ISREG(mode):
            yield f"{shown(name)}: is no regular file"
        elif not _PUBLISHED.fullmatch(name):
            yield f"{shown(name)}: has no place among published rows; take it out"
        elif path.stat().st_size > limit:
            yield f"{name}: has {path.stat().st_size:,} bytes; at most {limit:,} are read"
