"""A draft of a hierarchy -> a YAML file that the loader accepts. datasets/README.md describes the format."""

import re
import shlex
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import hierarchy, registry
from benchmark.errors import InputError
from benchmark.schema import NAME_PATTERN, Hierarchy

WIDTH = 120
LONGEST_NAME = 1000  # characters in the file; YAML allows keys of 1024
PLAIN = re.compile(r"[A-Za-z]([A-Za-z0-9 _./+()'-]*[A-Za-z0-9_./+()'-])?")
WORDS = frozenset("true false yes no on off y n null none nan inf".split())  # what some YAML reads as no text


@dataclass(frozen=True)
class Draft:
    """What a hierarchy file will say.

    Attributes:
        name: of the task, and the file's stem.
        title: one line for people.
        source: `family/name` of the images.
        image_size: edge of the decoded images, pixels.
        levels: names of the levels, coarsest first.
        paths: for each leaf class its names from the coarsest level to the leaf, len(levels) each, without repeats.
        provenance: where the grouping comes from; paragraphs.
        coarse: level whose labels pretraining sees; default the first.
        fine: level that is evaluated; default the last.
        ignore_others: leave out classes of the source that are not listed.
        target: leaves kept away from pretraining.
        names: readable names of leaves.
        notes: comments behind classes of the first level.
        origins: for each path where it was found, for errors; or nothing.
    """

    name: str
    title: str
    source: str
    image_size: int
    levels: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    provenance: str
    coarse: str = ""
    fine: str = ""
    ignore_others: bool = False
    target: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    origins: tuple[str, ...] = ()


def destination(name: str, out: Path | None) -> Path:
    """The file to write: as asked for, or hierarchies/NAME.yaml.

    Raises:
        InputError: if a file was asked for that is not called NAME.yaml.
    """
    path = out.expanduser() if out else Path("hierarchies") / f"{name}.yaml"
    if path.name != f"{name}.yaml":
        raise InputError(f"--out {path}: the file of task {name!r} is called {name}.yaml; change --out or --name")
    return path


def write(draft: Draft, path: Path, force: bool = False) -> Hierarchy:
    """Write the file, once the loader has accepted it, and give what the loader made of it.

    Args:
        draft: what to write.
        path: the file; its stem is the draft's name. Missing folders are made.
        force: replace a file that exists.

    Raises:
        InputError: for a file that exists, a name that is taken, a name or a tree that a hierarchy cannot have.
    """
    if path.exists() and not force:
        raise InputError(f"{path} exists; --force replaces it, --out and --name choose another")
    if draft.name in registry.task_files() and path.parent.resolve() != registry.hierarchy_folder().resolve():
        raise InputError(f"the name {draft.name!r} is taken by a shipped task; choose another with --name")
    check(draft)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".init-task-") as folder:
            trial = Path(folder) / path.name
            trial.write_text(text(draft), encoding="utf-8")
            try:
                tree = hierarchy.load(trial)
            except InputError as error:
                raise InputError(f"nothing written; {error}".replace(str(trial), str(path))) from None
            trial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another with --out") from None
    return tree


def check(draft: Draft) -> None:
    """Refuse what a file cannot say, in the words of where it came from.

    Raises:
        InputError: for a name that cannot be one, a class in two places, or nothing that could collapse.
    """
    for option, name in [("--name", draft.name), *(("--levels", level) for level in draft.levels)]:
        if not NAME_PATTERN.fullmatch(name):
            raise InputError(f"name {name!r} must match {NAME_PATTERN.pattern}; choose one with {option}")
    origins = draft.origins or ("",) * len(draft.paths)
    above: list[dict[str, tuple[str, ...]]] = [{} for _ in draft.levels]
    for path, origin in zip(draft.paths, origins, strict=True):
        where = f"{origin}: " if origin else ""
        for depth, name in enumerate(path):
            if problem := _problem(name):
                raise InputError(f"{where}class name {name!r} {problem}; rename it")
            parents = above[depth].setdefault(name, path[:depth])
            if parents != path[:depth]:
                both = f"{' > '.join(parents)!r} and {' > '.join(path[:depth])!r}"
                raise InputError(f"{where}{draft.levels[depth]} {name!r} is below {both}; rename one or remove one")
    _check_use(draft)


def _problem(name: str) -> str:
    """What keeps a name from being a class, if anything."""
    if not name.strip() or name != name.strip():
        return "is blank or has blanks at its ends"
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return "is not UTF-8"
    if len(quoted(name)) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    return ""


def _check_use(draft: Draft) -> None:
    coarse, fine = draft.coarse or draft.levels[0], draft.fine or draft.levels[-1]
    ends = [draft.levels.index(level) + 1 for level in (coarse, fine)]
    num_coarse, num_fine = (len({path[:end] for path in draft.paths}) for end in ends)
    if num_coarse < 2 or num_fine <= num_coarse:
        raise InputError(
            f"{coarse!r} has {num_coarse} classes and {fine!r} {num_fine}; coarse-to-fine transfer needs two coarse "
            "classes, and one of them with two fine classes or more: take other levels or more classes"
        )


def text(draft: Draft) -> str:
    """The file: keys in the order of datasets/README.md, long lists last."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    yield f"name: {quoted(draft.name)}"
    yield "version: 1"
    yield f"title: {quoted(draft.title)}"
    yield f"source: {quoted(draft.source)}"
    yield f"image_size: {draft.image_size}"
    yield from _list("levels", draft.levels, "")
    for key, level in (("coarse", draft.coarse), ("fine", draft.fine)):
        if level:
            yield f"{key}: {quoted(level)}"
    yield "provenance: |"
    for paragraph in draft.provenance.splitlines():
        # without leading blanks: those of the first line would be the indent that YAML expects of all others
        yield from textwrap.wrap(_printable(paragraph).strip(), WIDTH, initial_indent="  ", subsequent_indent="  ")
    yield "licence: unknown"
    if draft.ignore_others:
        yield "ignore: others"
    yield "classes:"
    yield from _classes(draft.paths, "  ", draft.notes)
    if draft.target:
        yield from _list("target", draft.target, "")
    if draft.names:
        yield "names:"
        yield from (f"  {quoted(name)}: {quoted(readable)}" for name, readable in draft.names.items())


def _classes(paths: Sequence[tuple[str, ...]], indent: str, notes: Mapping[str, str]) -> Iterator[str]:
    """The tree below one class: a block for each class with classes below it, a list of leaves."""
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for name, *rest in paths:
        blocks.setdefault(name, []).append(tuple(rest))
    for name, below in blocks.items():
        note = f"  # {_printable(notes[name])}" if name in notes else ""
        if len(below[0]) == 1:
            yield from _list(name, [leaf for (leaf,) in below], indent, note)
        else:
            yield f"{indent}{quoted(name)}:{note}"
            yield from _classes(below, indent + "  ", {})


def _list(key: str, names: Sequence[str], indent: str, note: str = "") -> Iterator[str]:
    """`key: [a, b]`, on as many lines as it takes."""
    line, items = f"{indent}{quoted(key)}: [", [quoted(name) for name in names]
    for i, item in enumerate(items):
        piece = item + (f"]{note}" if i == len(items) - 1 else ",")
        if i and len(line) + 1 + len(piece) > WIDTH:
            yield line
            line = f"{indent}  {piece}"
        else:
            line += f" {piece}" if i else piece
    yield line


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def quoted(name: str) -> str:
    """The text as YAML, in quotes unless every YAML reads it as that text without them."""
    if PLAIN.fullmatch(name) and name.lower() not in WORDS:
        return name
    return '"' + "".join(_escaped(letter) for letter in name) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


def report(tree: Hierarchy, path: Path, data_root: Path | None = None) -> str:
    """What was written, what is worth knowing about it, and what to type next."""
    sizes = " > ".join(f"{len(tree.classes(level))} {level}" for level in tree.levels)
    folder = f"--datasets-dir {shlex.quote(str(path.parent))}"
    root = f" --data-root {shlex.quote(str(data_root))}" if data_root else ""
    lines = [f"{path} written: {sizes}.", *(f"note: {warning}" for warning in tree.warnings), "Next:"]
    lines += [f"  c2f show task {tree.name} {folder}"]
    lines += [f"  c2f run --tasks {tree.name} {folder}{root} --recipe quickstart"]
    return "\n".join(lines)
