"""`c2f verify`: the scores of stored rows, computed again from what lies beside them."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmark import archive, data, figures, registry, resampling
from benchmark.cell import chance
from benchmark.errors import InputError
from benchmark.metrics import METRICS, Figure, Predictions
from benchmark.probes import readouts
from benchmark.schema import EXTERNAL, METRIC_VERSION, Cell, Measures, Recipe, Task
from benchmark.scorer import REPLICATES, collapse_figures
from benchmark.store import Store
from benchmark.store import figures as stored_figures

TOLERANCE = 1e-6  # absolute or relative, whichever is larger: sums in another order, on another machine
PROBE_TOLERANCE = 1e-2  # of what follows from the linear probe's weights, which are solved for anew
OF_PROBE = ("nc3_fine", "nc4_fine")
TURNED = 0.01  # share of answers that may come out otherwise from the same features

Place = tuple[str, str, str, str]  # metric, split, layer, superclass
State = Literal["equal", "different", "changed", "absent", "other version"]


@dataclass(frozen=True)
class Verdict:
    """What became of a row.

    Attributes:
        folder: of results.
        key: of the cell.
        title: task, method and seed.
        state: `equal`; `different` where a score comes out otherwise; `changed` where a file is not the one the row
            was made with, or the row contradicts itself; `absent` where nothing is stored to compute from;
            `other version` where the row's scores were defined otherwise.
        lines: what is wrong, or what could not be computed, one line each.
        computed: figures that came out equal.
    """

    folder: Path
    key: str
    title: str
    state: State
    lines: tuple[str, ...] = ()
    computed: int = 0


def folders(paths: Iterable[Path]) -> list[Path]:
    """Results folders at or under some paths.

    Raises:
        InputError: where there is none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(marker.parent for marker in path.rglob("store.json"))
        if not inside:
            raise InputError(f"{path}: no results folder (no store.json) at or under it; check the path")
        found += inside
    return list(dict.fromkeys(found))


def verify(folder: Path, datasets_dir: Path | None = None) -> Iterator[Verdict]:
    """A verdict on every finished row of a results folder, and on each merged table that the rows do not give.

    Args:
        folder: of results.
        datasets_dir: a further folder of hierarchies.

    Raises:
        InputError: if the folder is none of ours, or a row is not whole.
    """
    store = Store(folder)
    store.check_schema()
    for record in store.records():
        cell = record["cell"]
        title = f"{cell['task']} {cell['method']} seed {cell['seed']}"
        state, lines, computed = _examine(store, record, datasets_dir)
        yield Verdict(folder, cell["key"], title, state, tuple(lines), computed)
    for name in store.stale():
        note = "it is not what the cells say; any `c2f run` into the folder writes it anew"
        yield Verdict(folder, "", name, "changed", (note,))


def _examine(store: Store, record: Mapping[str, Any], datasets_dir: Path | None) -> tuple[State, list[str], int]:
    version = record["cell"]["metric_version"]
    if version != METRIC_VERSION:
        return "other version", [f"metric version {version}, this program's is {METRIC_VERSION}"], 0
    try:
        cell = cell_of(record["cell"], datasets_dir)
    except InputError as error:
        return "changed", [str(error)], 0
    digest = record["provenance"]["predictions_digest"]
    path = store.predictions_of(cell.key, digest)
    if not path.exists():
        return "absent", [f"no predictions: {path} is not there"], 0
    if archive.sha256(path) != digest:
        return "changed", [f"{path} is not the file the row was made with (SHA-256 differs)"], 0
    try:
        return _compare(store, record, cell, path)
    except (ValueError, RuntimeError, IndexError, ArithmeticError) as error:
        first = str(error).split("\n")[0]
        return "changed", [f"what lies beside the row does not fit it ({first})"], 0


def _compare(store: Store, record: Mapping[str, Any], cell: Cell, path: Path) -> tuple[State, list[str], int]:
    """Figures from the predictions; from kept features the predictions, and the rest of the figures."""
    stored = {_place(figure): figure for figure in stored_figures(record)}
    strange = sorted({figure.metric for figure in stored.values()} - METRICS.keys())
    if strange:
        return "changed", [f"figures of metrics that do not exist: {', '.join(strange[:5])}"], 0
    predictions, draws = archive.unpack(path), chance(cell)
    weights = resampling.weights(predictions.fine, REPLICATES, draws.bootstrap)
    fresh = figures.of(predictions, cell.task, weights)
    problems: list[str] = []
    notes: list[str] = []
    kept = store.features / f"{cell.features_key}.safetensors"
    if not kept.exists():
        notes = ["collapse metrics not computed: features were not kept (run with --keep-features)"]
        stored = {place: figure for place, figure in stored.items() if METRICS[figure.metric].family != "collapse"}
    elif archive.sha256(kept) != record["provenance"]["features_digest"]:
        return "changed", [f"{kept} is not the file the row was made with (SHA-256 differs)"], 0
    else:
        features, labels, _ = archive.recall(kept)
        answers, probe = readouts.answer(features, labels, cell.task, draws.episodes, draws.clustering)
        fresh += collapse_figures(features, labels, cell.task, probe, weights, draws.shuffle)
        problems = list(_turned(predictions, answers))
    wrong = list(_differences(stored, {_place(figure): figure for figure in fresh}))
    problems = wrong + problems
    return ("different" if problems else "equal"), problems + notes, max(len(stored) - len(wrong), 0)


def _turned(stored: Predictions, fresh: Predictions) -> Iterator[str]:
    """Read-outs whose answers from the kept features are not those that were stored.

    A few may turn over: where two classes are as good as equal, sums in another order decide.
    """
    for name in ("fine", "linear", "linear_within", "knn", "ncm", "first_hit", "clusters", "tuned"):
        was, now = getattr(stored, name), getattr(fresh, name)
        if was is None and now is None:
            continue
        alike = was is not None and now is not None and was.shape == now.shape
        share = float((was != now).double().mean()) if alike else 1.0
        if share > TURNED:
            yield f"{name}: {share:.1%} of the stored answers are not those that the kept features give"


def cell_of(columns: Mapping[str, Any], datasets_dir: Path | None = None) -> Cell:
    """The cell of a stored row.

    Raises:
        InputError: if its hierarchy is not the one of that name here, or its key is not its identity's.
    """
    task = _task(columns, datasets_dir)
    recipe = None
    if columns["recipe"] != EXTERNAL:
        recipe = registry.validate(
            Recipe, {"name": columns["recipe"], "title": "", **json.loads(columns["recipe_params"])}, "recipe"
        )
    cell = Cell(
        task=task,
        data_digest=columns["data_digest"],
        method=columns["method"],
        method_params=json.loads(columns["method_params"]),
        backbone=columns["backbone"],
        backbone_args=json.loads(columns["backbone_args"]),
        recipe=recipe,
        seed=columns["seed"],
        method_digest=columns["method_digest"],
        measures=registry.validate(Measures, json.loads(columns["measures"]), "measures"),
    )
    if cell.key != columns["key"]:
        raise InputError("the row's columns do not give its key: one of them was changed. Get the row again")
    return cell


def _task(columns: Mapping[str, Any], datasets_dir: Path | None) -> Task:
    task = registry.task(columns["task"], datasets_dir)
    missing = json.loads(columns["missing_classes"])
    task = data.without(task, tuple(missing)) if missing else task
    if task.hierarchy.digest != columns["hierarchy_digest"]:
        raise InputError(
            f"hierarchy {columns['task']} is {task.hierarchy.digest} here and was {columns['hierarchy_digest']}; "
            "verify with the version that made the row"
        )
    return task


def _differences(stored: Mapping[Place, Figure], fresh: Mapping[Place, Figure]) -> Iterator[str]:
    for place in sorted(set(stored) | set(fresh)):
        where = ", ".join(part for part in place if part)
        if place not in fresh:
            yield f"{where}: stored as {stored[place].value:.6g}, not computed any more"
        elif place not in stored:
            yield f"{where}: computed, but not stored"
        else:
            yield from (f"{where}: {line}" for line in _changes(stored[place], fresh[place]))


def _changes(stored: Figure, fresh: Figure) -> Iterator[str]:
    tolerance = PROBE_TOLERANCE if stored.metric in OF_PROBE else TOLERANCE
    for name in ("value", "low", "high", "untrained", "shuffled"):
        was, now = getattr(stored, name), getattr(fresh, name)
        both_undefined = math.isnan(was) and math.isnan(now)
        if not both_undefined and not math.isclose(was, now, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{name} stored as {was:.6g}, computed as {now:.6g}"


def _place(figure: Figure) -> Place:
    return figure.metric, figure.split, figure.layer, figure.superclass
