"""What only the registry knows of rows: whether their tasks are still the same, and what their methods are."""

from collections.abc import Iterable
from pathlib import Path

from benchmark import registry
from benchmark.errors import InputError
from benchmark.report.board import About
from benchmark.report.leaderboard import Current


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
    """Superclass and readable name of every fine class that is evaluated, by its number, of tasks known here."""
    found = {}
    for name in tasks:
        try:
            task = registry.task(name, datasets_dir).evaluation
        except InputError:
            continue  # its features are shown by numbers
        readable = task.hierarchy.names
        pairs = zip(task.fine_to_coarse, task.fine_classes, strict=True)
        found[name] = [(task.coarse_classes[coarse], readable.get(fine, fine)) for coarse, fine in pairs]
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
