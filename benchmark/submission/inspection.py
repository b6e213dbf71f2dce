"""Rows from a stranger, one by one: is each what it says, and does it come out when its scores are computed again?

Collapse metrics need features, which are too large to be published: of those the ranges are checked, and no more.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from benchmark import archive, data, registry, verify
from benchmark.data import at_hand
from benchmark.data.source import Watcher
from benchmark.errors import InputError
from benchmark.schema import EXTERNAL, Cell, cell_columns
from benchmark.store import Store
from benchmark.submission import arrays, rows
from benchmark.submission.parcel import shown

Subject = tuple[str, str, str, str]  # task, hierarchy digest, data digest, missing classes: the same test images
Truth = tuple[str, str]  # digest of the true labels and training counts, and of the splits


@dataclass(frozen=True)
class Setting:
    """What rows are held against.

    Attributes:
        published: folder of results folders whose rows count as true.
        datasets_dir: a further folder of hierarchies.
        data_root: where images may be, whose labels are compared then.
        watch: called with each row's key as it is done.
    """

    published: Path
    datasets_dir: Path | None = None
    data_root: Path | None = None
    unproven: frozenset[Path] = frozenset()  # files of published rows that are themselves to be inspected
    watcher: Watcher | None = None  # told of every row that is computed


def inspect(source: Path, keys: Iterable[str], staged: Store, setting: Setting) -> tuple[list[str], list[str]]:
    """Check rows of a folder, and put them, written anew, into a store where their scores are computed again.

    Args:
        source: holds cells/ and predictions/; nothing in it is trusted but the names.
        keys: of the rows.
        staged: empty, and opened; afterwards it has the rows that were found sound.
        setting: what to hold them against.

    Returns:
        what is wrong, and what is worth knowing; a line each. Rows are accepted only if nothing is wrong.
    """
    problems: list[str] = []
    references = _References(setting)
    for key in keys:
        try:
            record, cell, found = _row(source, key, setting)
            references.compare(record, cell, found)
        except InputError as error:
            problems.append(f"cells/{key}.json: {error}")
        else:
            name = Path("predictions", f"{key}.{record['provenance']['predictions_digest'][:8]}.npz")
            staged.insert(record, (source / name).read_bytes())
    problems += _recomputed(staged, setting)
    return problems, references.notes()


def _row(source: Path, key: str, setting: Setting) -> tuple[dict[str, Any], Cell, dict[str, Any]]:
    """A row that keeps its form, the cell it claims, and its arrays."""
    record = rows.read((source / "cells" / f"{key}.json").read_bytes())
    if record["cell"]["key"] != key:
        raise InputError(f"it says it is {shown(record['cell']['key'])}")
    cell = claimed(record, setting.datasets_dir)
    if problems := rows.superclasses(record, cell.task.evaluation.coarse_classes):
        raise InputError("; ".join(problems))
    digest = record["provenance"]["predictions_digest"]
    path = source / "predictions" / f"{key}.{digest[:8]}.npz"
    if not path.is_file():
        raise InputError(f"predictions/{path.name} is missing; rows are published with what they are computed from")
    if archive.sha256(path) != digest:
        raise InputError(f"predictions/{path.name} is not the file the row was made with (SHA-256 differs)")
    return record, cell, arrays.read(path, cell.task)


def claimed(record: Mapping[str, Any], datasets_dir: Path | None) -> Cell:
    """The cell of a row, if every column says the same as this program would write for it.

    Raises:
        InputError: naming the first that does not.
    """
    columns = record["cell"]
    cell = verify.cell_of(columns, datasets_dir)
    for name, expected in cell_columns(cell).items():
        if columns[name] != expected:
            raise InputError(f"{name} is {shown(columns[name])!r} and should be {shown(expected)!r}")
    if cell.recipe is None:
        return cell
    if not columns["method_digest"]:
        params = dict(registry.method(cell.method, cell.method_params).params)
        if params != dict(cell.method_params):
            raise InputError(f"parameters of {cell.method} are {sorted(cell.method_params)}; expected {sorted(params)}")
    name = cell.recipe.name
    plain = registry.recipe(name.removesuffix("+"))
    if (plain.hyperparameters == cell.recipe.hyperparameters) == name.endswith("+"):
        raise InputError(f"recipe_params are not those of recipe {shown(name)!r} (a changed recipe ends with +)")
    return cell


class _References:
    """True labels by the images they are of: those of published rows, of images at hand, or of the first row met."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.known = dict(_published(setting))
        self.origin = dict.fromkeys(self.known, "the published rows of the task")
        self.own: set[str] = set()
        self.unknown: set[str] = set()

    def compare(self, record: Mapping[str, Any], cell: Cell, found: Mapping[str, Any]) -> None:
        """Hold a row's true labels against those of the same images.

        Raises:
            InputError: if they differ.
        """
        columns = record["cell"]
        if not columns["data_digest"]:
            self.own.add(f"{columns['task']} {columns['method']}")
            return
        subject, mine = _subject(columns), _truth(record, found)
        self._foreign_data(subject)
        if subject not in self.known:
            at_root = _at_hand(cell, self.setting.data_root)
            self.known[subject] = at_root or mine
            self.origin[subject] = "the images at hand" if at_root else "the first row of the task here"
            if not at_root:
                self.unknown.add(columns["task"])
        labels, splits = self.known[subject]
        if mine[0] != labels:
            raise InputError(f"its true labels or training counts are not those of {self.origin[subject]}")
        if columns["recipe"] != EXTERNAL and mine[1] != splits:
            raise InputError(f"its split_digest is not that of {self.origin[subject]}")

    def _foreign_data(self, subject: Subject) -> None:
        """Raise InputError if rows of the same task are of other images."""
        task, hierarchy, images, missing = subject
        others = {other[2] for other in self.known if other[:2] == (task, hierarchy) and other[3] == missing}
        if others and images not in others:
            raise InputError(
                f"data_digest {shown(images)} is not that of other rows of {shown(task)} ({min(others)}): "
                "the images differ; get the published ones (`c2f doctor` compares them)"
            )

    def notes(self) -> list[str]:
        """What could be compared with nothing."""
        lines = [
            f"{task}: no row is published and no images are at hand (--data-root); true labels are the submission's own"
            for task in sorted(self.unknown)
        ]
        if self.own:
            lines.append(
                f"features made elsewhere, true labels are the submission's own: {', '.join(sorted(self.own))}"
            )
        return lines


def _subject(columns: Mapping[str, Any]) -> Subject:
    return columns["task"], columns["hierarchy_digest"], columns["data_digest"], columns.get("missing_classes", "[]")


def _truth(record: Mapping[str, Any], found: Mapping[str, Any]) -> Truth:
    return _labels_digest(found["fine"], found["shots"]), record["provenance"]["split_digest"]


def _labels_digest(fine: Any, shots: Any) -> str:
    text = json.dumps([fine.tolist(), shots.tolist()])
    return hashlib.sha256(text.encode()).hexdigest()


def _published(setting: Setting) -> Iterator[tuple[Subject, Truth]]:
    """Of each set of test images the truth that published rows agree on, from the first row that has predictions."""
    seen = set()
    for marker in sorted(setting.published.rglob("store.json")):
        store = Store(marker.parent)
        for row in sorted(set(store.cells.glob("*.json")) - setting.unproven):
            record = store.record(row.stem)
            subject = _subject(record["cell"])
            path = store.predictions_of(row.stem, record["provenance"].get("predictions_digest") or "none")
            if subject in seen or record["cell"]["recipe"] == EXTERNAL or not path.is_file():
                continue
            seen.add(subject)
            predictions = archive.unpack(path)
            yield subject, _truth(record, {"fine": predictions.fine, "shots": predictions.shots})


def _at_hand(cell: Cell, root: Path | None) -> Truth | None:
    """From the images themselves, where they can be read without a download."""
    tree = cell.task.hierarchy
    if root is None or not at_hand.availability(tree, root).ready:
        return None
    decoded = data.decode(tree, root)
    if decoded.digest != cell.data_digest:
        raise InputError(f"data_digest {cell.data_digest} is not that of the images at hand ({decoded.digest})")
    task = data.cover(cell.task, decoded) if not tree.missing else cell.task
    source, splits = data.load(task.pretraining, decoded), data.load(task.evaluation, decoded)
    digest = "+".join(dict.fromkeys([source.split_digest, splits.split_digest]))
    return _labels_digest(splits.test.labels, splits.shots), digest


def _recomputed(staged: Store, setting: Setting) -> Iterator[str]:
    """Rows whose scores come out otherwise."""
    count = len(list(staged.cells.glob("*.json")))
    if setting.watcher:
        setting.watcher.begin(count)
    for verdict in islice(verify.verify(staged.folder, setting.datasets_dir), count):  # after them come merged tables
        if setting.watcher:
            setting.watcher.step(1)
        if verdict.state != "equal":
            lines = rows.first([shown(line) for line in verdict.lines])
            yield f"cells/{verdict.key}.json: {verdict.state} when computed again: {'; '.join(lines)}"
