"""What only registry and stores know of rows: whether they still count, what their methods are, kept features."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from benchmark import registry
from benchmark.errors import InputError
from benchmark.report.board import About
from benchmark.report.leaderboard import Current
from benchmark.store import Store
from benchmark.verify import cell_of


def current(tasks: Iterable[str], datasets_dir: Path | None = None) -> Current:
    """Version and digest of the hierarchies of tasks as they are now; tasks that are not known here are left out."""
    found = {}
    for name in tasks:
        try:
            tree = registry.task(name, datasets_dir).hierarchy
        except InputError:
            continue  # made elsewhere, with a hierarchy of somebody's own: nothing here can say that it has moved
        found[name] = (tree.version, tree.digest)
    return found


def classes(tasks: Iterable[str], datasets_dir: Path | None = None) -> dict[str, list[tuple[str, str]]]:
    """Superclass and name of every fine class that is evaluated, in the order of its number, of tasks known here."""
    found = {}
    for name in tasks:
        try:
            task = registry.task(name, datasets_dir).evaluation
        except InputError:
            continue  # its features are shown by numbers
        pairs = zip(task.fine_to_coarse, task.fine_classes, strict=True)
        found[name] = [(task.coarse_classes[coarse], fine) for coarse, fine in pairs]
    return found


def about(methods: Iterable[str]) -> dict[str, About]:
    """Methods for people; of those that are not registered here there is the name alone."""
    known = registry.methods()
    return {
        name: About(known[name].title, known[name].family, known[name].paper, known[name].year)
        if name in known
        else About(name, "unknown")
        for name in methods
    }


def kept_features(frame: pd.DataFrame, datasets_dir: Path | None = None) -> dict[str, Path]:
    """Files of kept features by the keys of their rows.

    Args:
        frame: of `report.leaderboard.read`.
        datasets_dir: a further folder of hierarchies.
    """
    found = {}
    for folder, rows in frame.groupby("folder"):
        store = Store(Path(str(folder)))
        if not store.features.is_dir():
            continue
        for key in rows.loc[rows["features_digest"].notna(), "key"]:
            try:
                path = store.features / f"{cell_of(store.record(key)['cell'], datasets_dir).features_key}.safetensors"
            except InputError:
                continue  # its hierarchy is not here, or has moved; the row is shown, only not this picture of it
            if path.exists():
                found[str(key)] = path
    return found
