"""What `c2f check` finds: every defect of hierarchy files, and what in them does not fit the images at hand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark import hierarchy, registry
from benchmark.data import at_hand
from benchmark.data.loading import unmatched
from benchmark.documents import DocumentError
from benchmark.errors import InputError, unknown
from benchmark.hierarchy import Defect
from benchmark.schema import Hierarchy

PINS = "digests.txt"  # beside the shipped files: a line `NAME VERSION DIGEST` for each
SHOWN = 50  # names in one line of the report


@dataclass(frozen=True)
class Finding:
    """A defect, or a note, of one file."""

    path: Path
    defect: Defect

    def __str__(self) -> str:
        path = self.path.absolute()
        short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        place = f"{short}:{self.defect.line}" if self.defect.line else str(short)
        return f"{place}: {'note' if self.defect.note else 'error'}: {self.defect.text}"


def paths(targets: Sequence[str], everything: bool, extra: Path | None = None) -> list[Path]:
    """The files that are meant by names and paths, or all.

    Raises:
        InputError: for a name or path that is not there, or if it is not said what to check.
    """
    files = registry.task_files(extra)
    if everything == bool(targets):
        raise InputError("expected hierarchies to check, or --all, and not both; write e.g. c2f check pets.yaml")
    return list(files.values()) if everything else [_path(target, files) for target in targets]


def _path(target: str, files: Mapping[str, Path]) -> Path:
    if target in files:
        return files[target]
    if Path(target).is_file():
        return Path(target)
    if target.endswith((".yaml", ".yml")) or "/" in target:
        raise InputError(f"{target}: no such file; check the path, or give a name of `c2f list tasks`")
    raise unknown("task", target, files, "See `c2f list tasks`, or give the path of a file.")


def findings(files: Sequence[Path], everything: bool, root: Path, extra: Path | None = None) -> Iterator[Finding]:
    """Everything to say about some files; about pins that belong to none too, if these are all."""
    for path in files:
        yield from examine(path, root, extra)
    if everything:
        yield from _stale_pins()


def examine(path: Path, root: Path | None, extra: Path | None = None) -> Iterator[Finding]:
    """Everything to say about one file.

    Args:
        path: the file.
        root: where images may be, to compare names; None to leave that out.
        extra: a further folder of hierarchy files, for variants.
    """
    siblings = {file.stem: file for file in sorted(path.parent.glob("*.yaml"))}
    tree, defects = hierarchy.examine(path, {**registry.task_files(extra), **siblings})
    yield from (Finding(path, defect) for defect in defects)
    if tree is None:
        return
    try:
        registry.task_of(tree, path)
    except DocumentError as error:
        yield Finding(path, Defect(error.line, error.text))
    if root is not None:
        yield from (Finding(path, defect) for defect in _compare_names(path, tree, root))
    if path.parent.resolve() == registry.hierarchy_folder().resolve():
        yield from _check_pin(path, tree)


def _compare_names(path: Path, tree: Hierarchy, root: Path) -> Iterator[Defect]:
    """Classes without images and images without a class, where names are to be had without fetching or decoding."""
    try:
        at_hand.availability(tree, root)
    except InputError as error:  # no such source
        yield Defect(0, str(error))
        return
    classes = at_hand.classes(tree, root)
    if classes is None:
        text = f"images of {tree.source} not at hand, names not compared; c2f doctor says how to get them"
        yield Defect(0, text, note=True)
        return
    lines, (missing, extra) = hierarchy.class_lines(path), unmatched(tree, classes)
    if missing:
        line = min(lines.get(name, 0) for name in missing)
        yield Defect(line, f"{len(missing)} classes without images: {_some(missing)}; remove them or mend the data")
    if extra:
        text = f"{len(extra)} classes of the data that nobody claims: {_some(extra)}; list them, if only under `ignore`"
        yield Defect(0, text)


def _check_pin(path: Path, tree: Hierarchy) -> Iterator[Finding]:
    """A shipped file that can change a number has another version than before."""
    pins, line = path.parent / PINS, f"{tree.name} {tree.version} {tree.digest}"
    pinned = _pin_lines(pins)
    if any(pin.startswith(f"{tree.name} {tree.version} ") for pin in pinned if pin != line):
        text = f"the digest has changed to {tree.digest} and the version has not; raise `version`"
        yield Finding(path, Defect(0, text))
    elif line not in pinned:
        yield Finding(pins, Defect(0, f"the line of {tree.name} is missing or old; make it `{line}`"))


def _pin_lines(pins: Path) -> list[str]:
    return pins.read_text(encoding="utf-8").splitlines() if pins.is_file() else []


def _stale_pins() -> Iterator[Finding]:
    """Pinned digests of files that are no longer there."""
    pins, files = registry.hierarchy_folder() / PINS, registry.task_files()
    for number, line in enumerate(_pin_lines(pins), 1):
        if len(line.split()) != 3 or line.split()[0] not in files:
            text = f"expected NAME VERSION DIGEST of a shipped file, found {line!r}; remove it"
            yield Finding(pins, Defect(number, text))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
