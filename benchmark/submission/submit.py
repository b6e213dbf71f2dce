"""`c2f submit`: finished rows of a results folder as one archive, if they are whole and come out again."""

import tempfile
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmark
from benchmark.data.source import Watcher
from benchmark.errors import InputError
from benchmark.schema import METRIC_VERSION, SCHEMA_VERSION
from benchmark.store import Store, encode
from benchmark.submission import inspection, manifest, parcel, rows
from benchmark.submission.manifest import Manifest

Group = tuple[str, ...]
_GROUP = ("task", "hierarchy_digest", "data_digest", "backbone", "backbone_args", "recipe", "recipe_params", "measures")


@dataclass(frozen=True)
class Request:
    """What is to be published, and by whom.

    Attributes:
        results: a results folder.
        name: of the folder it will have among the published ones.
        paper: one line, where the rows are described.
        contact: one line, or "".
        out: the archive.
        incomplete: whether cells may be missing, failed, or left out for want of predictions or another version.
        datasets_dir: a further folder of hierarchies.
    """

    results: Path
    name: str
    paper: str
    contact: str
    out: Path
    incomplete: bool = False
    datasets_dir: Path | None = None


@dataclass(frozen=True)
class Submitted:
    """What was made."""

    manifest: Manifest
    archive: Path
    num_bytes: int


@dataclass(frozen=True)
class Refused:
    """Why nothing was made, a line each, and what to do."""

    problems: tuple[str, ...]
    remedy: str


def submit(request: Request, watcher: Watcher | None = None) -> Submitted | Refused:
    """Make an archive of a results folder's rows.

    Args:
        request: what to make.
        watcher: told of every row that is computed.

    Returns:
        the archive, or why there is none.

    Raises:
        InputError: if the folder is none of results, or the archive cannot be written.
    """
    store = Store(request.results)
    store.check_schema()
    current = [record for record in store.records() if _is_current(record)]
    failures = [record for record in store.failed_records() if _is_current(record)]
    records = {record["cell"]["key"]: record for record in current if _predictions(store, record).is_file()}
    gaps = [*_outdated(store), *_unproven(current, records), *_gaps(current, failures)]
    if gaps and not request.incomplete:
        return Refused(
            tuple(gaps), "Run what is missing; or --incomplete publishes the rest, and says what is missing."
        )
    if not records:
        raise InputError(f"{request.results}: no finished row that could be published; run it first")
    members = _members(store, records.values(), failures)
    made = _manifest(request, members, gaps)
    if problems := _problems(request, records, watcher):
        return Refused(problems, "Nothing helps but running these cells again: rows are not mended by hand.")
    _write(request.out, {parcel.MANIFEST: made.content, **members})
    return Submitted(made, request.out, request.out.stat().st_size)


def _problems(request: Request, keys: Iterable[str], watcher: Watcher | None) -> tuple[str, ...]:
    """What `c2f accept` would find wrong with the rows themselves."""
    with tempfile.TemporaryDirectory() as folder:
        staged = Store(Path(folder, "staged"))
        staged.open()
        setting = inspection.Setting(Path(folder, "published"), request.datasets_dir, watcher=watcher)
        return tuple(inspection.inspect(request.results, keys, staged, setting)[0])


def _is_current(record: Mapping[str, Any]) -> bool:
    return bool(record["cell"]["metric_version"] == METRIC_VERSION)


def _predictions(store: Store, record: Mapping[str, Any]) -> Path:
    return store.predictions_of(record["cell"]["key"], record["provenance"].get("predictions_digest", ""))


def _outdated(store: Store) -> Iterator[str]:
    """Rows of other metric versions, a line for each version."""
    versions = Counter(record["cell"]["metric_version"] for record in store.records() if not _is_current(record))
    for version, count in sorted(versions.items()):
        yield (
            f"{count} rows are of metric version {version}, this program's is {METRIC_VERSION}; the command that made "
            "them makes them anew"
        )


def _unproven(records: Iterable[Mapping[str, Any]], proven: Container[str]) -> Iterator[str]:
    """Rows without predictions."""
    for record in records:
        if record["cell"]["key"] not in proven:
            yield f"{_title(record['cell'])}: its predictions are not there"


def _gaps(records: Iterable[Mapping[str, Any]], failures: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Failed cells, and seeds that some methods of a comparison have and others have not."""
    cells = [record["cell"] for record in records]
    for record in failures:
        yield f"{_title(record['cell'])}: failed ({parcel.shown(record['reason'], 120)})"
        cells.append(record["cell"])
    seeds: dict[Group, dict[str, set[int]]] = {}
    for cell in cells:
        group = tuple(str(cell[name]) for name in _GROUP)
        label = cell["method"] if cell["method_params"] == "{}" else f"{cell['method']} {cell['method_params']}"
        seeds.setdefault(group, {}).setdefault(label, set()).add(cell["seed"])
    for group, methods in seeds.items():
        wanted = set().union(*methods.values())
        for label, found in methods.items():
            if missing := sorted(wanted - found):
                yield f"{group[0]} {label}: no seed {', '.join(map(str, missing))}, which other methods have"


def _title(cell: Mapping[str, Any]) -> str:
    return f"{cell['task']} {cell['method']} seed {cell['seed']}"


def _members(
    store: Store, records: Iterable[Mapping[str, Any]], failures: Iterable[Mapping[str, Any]]
) -> dict[str, bytes]:
    """What the archive holds beside the manifest; of failures the reason, not what names folders and machines."""
    members: dict[str, bytes] = {}
    for record in records:
        path = _predictions(store, record)
        members |= {
            f"cells/{record['cell']['key']}.json": encode(record),
            f"predictions/{path.name}": path.read_bytes(),
        }
    for record in failures:
        plain = {name: value for name, value in record.items() if name not in ("kind", "host", "log")}
        plain |= {"reason": parcel.shown(record["reason"], rows.MAX_TEXT - 1), "traceback": ""}
        members[f"failures/{record['cell']['key']}.json"] = encode(plain)
    return members


def _manifest(request: Request, members: Mapping[str, bytes], gaps: list[str]) -> Manifest:
    values = {
        "format": manifest.FORMAT,
        "schema_version": SCHEMA_VERSION,
        "metric_version": METRIC_VERSION,
        "name": request.name,
        "paper": request.paper,
        "contact": request.contact,
        "package_version": benchmark.__version__,
        "incomplete": [parcel.shown(gap, rows.MAX_TEXT - 1) for gap in gaps[: manifest.MAX_GAPS]],
        "files": {name: manifest.file(content).model_dump() for name, content in sorted(members.items())},
    }
    if problems := rows.checked(Manifest, values):
        raise InputError(f"{'; '.join(f'--{problem}' for problem in problems)}. Change it")
    return Manifest.model_validate(values)


def _write(path: Path, members: Mapping[str, bytes | Path]) -> None:
    """An archive that is there already stays, unless it is the same."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "archive")
        parcel.write(draft, members)
        with parcel.opened(draft, parcel.MAX_ARCHIVE_BYTES, parcel.MAX_MEMBERS) as archive:
            if problems := list(parcel.strange(archive.infolist())):
                raise InputError("; ".join(rows.first(problems)))
        if path.exists() and path.read_bytes() != draft.read_bytes():
            raise InputError(f"{path}: is there already, and is another file; name another with --out")
    parcel.write(path, members)


def report(made: Submitted) -> str:
    """What was made, and what to do with it."""
    count = sum(name.startswith("cells/") for name in made.manifest.files)
    lines = [f"{made.archive}: {count} rows with their predictions, {made.num_bytes / 2**20:.1f} MB."]
    if made.manifest.incomplete:
        lines.append(f"It says what is missing: {'; '.join(rows.first(made.manifest.incomplete))}.")
    lines += [
        f"Next: c2f accept {made.archive} --check    # what its receiver will see",
        f"In a clone of the benchmark: c2f accept {made.archive}, commit results/published/{made.manifest.name}, "
        "and open a pull request; or send the archive.",
    ]
    return "\n".join(lines)
