"""One YAML file -> a checked Hierarchy. The format is described in datasets/README.md.

Every check yields defects. `examine` gives all of them, `load` raises the first, so both know the same rules.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from benchmark import documents
from benchmark.documents import Document, DocumentError, Place
from benchmark.errors import InputError
from benchmark.schema import NAME_PATTERN, Hierarchy

SOURCE_FAMILIES = ("digits", "torchvision", "imagefolder", "synthetic", "tiny-imagenet", "imagenet32", "sop")

Leaf = tuple[tuple[str, ...], Place]  # names from the coarsest level down to a class, and where it stands in the file


@dataclass(frozen=True)
class Defect:
    """Something wrong in a file, or merely worth knowing; line 0 stands for the file as a whole."""

    line: int
    text: str
    note: bool = False


def _list_or_others(value: Any) -> Any:
    if isinstance(value, list) or value == "others":
        return value
    raise PydanticCustomError("ignore", "expected a list of classes, or the word others")


Text = Annotated[str, Field(min_length=1)]


class _Words(BaseModel):
    """What every file says, and how a task may differ from plain coarse-to-fine."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text
    version: Annotated[int, Field(ge=1)]
    title: str
    coarse: Text | None = None
    fine: Text | None = None
    long_tail: Annotated[float, Field(ge=1, le=1e6)] = 1.0
    subclass_counts: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    provenance: str = ""


class _File(_Words):
    """The keys of a hierarchy file."""

    source: Text
    image_size: Annotated[int, Field(ge=4, le=4096)]
    levels: Annotated[list[str], Field(min_length=2)]
    classes: dict[Any, Any]
    ignore: Annotated[Any, AfterValidator(_list_or_others)] = Field(default_factory=list)
    target: list[Any] = Field(default_factory=list)
    names: dict[Any, str] = Field(default_factory=dict)
    licence: str = "unknown"


class _Variant(_Words):
    """The keys of a file that takes its classes from another one."""

    of: Text


Keys = TypeVar("Keys", bound=_Words)


def load(path: Path, files: Mapping[str, Path] = MappingProxyType({})) -> Hierarchy:
    """Read and check a hierarchy file.

    Args:
        path: the file.
        files: known hierarchy files by name, for a file that is a variant `of` another.

    Raises:
        InputError: with file, line, culprit and remedy of the first defect, and how many more there are.
    """
    tree, defects = examine(path, files)
    errors = [defect for defect in defects if not defect.note]
    if tree is None or errors:
        more = f" ({len(errors) - 1} more: c2f check {path})" if len(errors) > 1 else ""
        raise DocumentError(path, errors[0].line, errors[0].text + more)
    return tree


def examine(
    path: Path, files: Mapping[str, Path] = MappingProxyType({})
) -> tuple[Hierarchy | None, tuple[Defect, ...]]:
    """Everything wrong with a hierarchy file, in the order of lines; the hierarchy if there are notes at most.

    Args:
        path: the file.
        files: as for `load`.
    """
    try:
        document = documents.scan(path)
    except DocumentError as error:
        return None, (Defect(error.line, error.text),)
    found = [Defect(line, complaint) for line, complaint in document.repeated]
    tree = _read_variant(document, files, found) if "of" in document.data else _read_classes(document, found)
    found.sort(key=lambda defect: defect.line)
    return (None if any(not defect.note for defect in found) else tree), tuple(found)


def class_lines(path: Path) -> Mapping[str, int]:
    """Line of each class that a readable file lists itself."""
    document = documents.scan(path)
    return {path[-1]: document.line(place) for path, place in _walk(document, document.data.get("classes"), 0, [])}


def _read_classes(document: Document, found: list[Defect]) -> Hierarchy | None:
    """The hierarchy, unless its shape is too broken to make one; defects are added to those found."""
    file, broken = _keys(document, _File, found)
    levels = [] if "levels" in broken else file.levels
    leaves: list[Leaf] = [] if "classes" in broken else list(_walk(document, file.classes, len(levels), found))
    target = list(_names(document, "target", file.target, found))
    ignore = [] if file.ignore == "others" else list(_names(document, "ignore", file.ignore, found))
    named = list(_names(document, "names", file.names, found))
    found += _check_name_of_file(document, file.name, broken)
    found += [] if "source" in broken else _check_source(document, file.source)
    found += _check_level_names(document, levels)
    classes = [(path[-1], place) for path, place in leaves]
    for names in (classes, ignore, target):
        found += _check_repeated(document, names)
    if classes:
        found += _check_listed(document, classes, ignore, target, named)
    if not leaves or len(set(levels)) < max(len(levels), 2) or any(len(path) != len(levels) for path, _ in leaves):
        return None
    found += _check_parents(document, levels, leaves)
    notes = list(_singletons(document, levels, leaves))
    found += notes
    tree = _hierarchy(file, leaves, [name for name, _ in target], [name for name, _ in ignore])
    found += _check_task(document, tree)
    return dataclasses.replace(tree, warnings=tuple(note.text for note in notes))


def _hierarchy(file: _File, leaves: Sequence[Leaf], target: Sequence[str], ignore: Sequence[str]) -> Hierarchy:
    return Hierarchy(
        name=file.name,
        version=file.version,
        title=file.title,
        source=file.source,
        image_size=file.image_size,
        levels=tuple(file.levels),
        paths=tuple(path for path, _ in leaves),
        coarse=file.coarse or file.levels[0],
        fine=file.fine or file.levels[-1],
        ignore="others" if file.ignore == "others" else tuple(ignore),
        target=tuple(target),
        long_tail=file.long_tail,
        subclass_counts=tuple(file.subclass_counts),
        names=dict(file.names),
        provenance=file.provenance.strip(),
        licence=file.licence,
    )


def _read_variant(document: Document, files: Mapping[str, Path], found: list[Defect]) -> Hierarchy | None:
    file, broken = _keys(document, _Variant, found)
    found += _check_name_of_file(document, file.name, broken)
    if "of" in broken:
        return None
    base = _base(file.of, files)
    if isinstance(base, str):
        found.append(_defect(document, ("of",), base))
        return None
    tree = dataclasses.replace(
        base,
        name=file.name,
        version=file.version,
        title=file.title,
        coarse=file.coarse or base.coarse,
        fine=file.fine or base.fine,
        long_tail=file.long_tail,
        subclass_counts=tuple(file.subclass_counts),
        provenance=f"{file.provenance.strip()}\n{base.provenance}".strip(),
    )
    found += _check_task(document, tree)
    return tree


def _base(name: str, files: Mapping[str, Path]) -> Hierarchy | str:
    """The hierarchy that a variant takes its classes from, or why it cannot be had."""
    if name not in files:
        return f"no hierarchy {name!r}; known: {_list(sorted(files))}. Mend the name"
    try:
        if "of" in documents.scan(files[name]).data:
            return f"{name!r} is a variant itself; name the file that lists the classes"
        return load(files[name])
    except InputError as error:
        return f"{name!r} is broken: {error}"


def _keys(document: Document, model: type[Keys], found: list[Defect]) -> tuple[Keys, set[str]]:
    """The file's keys, those that are missing or unfit as defaults or blanks, and which these are."""
    try:
        return model.model_validate(dict(document.data)), set()
    except ValidationError as error:
        faults = documents.problems(error)
    found += [_defect(document, place, text) for place, text in faults]
    broken = {str(place[0]) for place, _ in faults}
    sound = {key: value for key, value in document.data.items() if key in model.model_fields and key not in broken}
    return model.model_construct(**{**_BLANKS, **sound}), broken


# What the remaining checks see of a required key that is missing or unfit.
_BLANKS: Mapping[str, Any] = MappingProxyType(
    {"name": "", "version": 1, "title": "", "source": "", "image_size": 4, "levels": [], "classes": {}, "of": ""}
)


def _defect(document: Document, place: Place, text: str, note: bool = False) -> Defect:
    return Defect(document.line(place), text, note)


def _walk(
    document: Document, node: Any, depth: int, found: list[Defect], place: Place = ("classes",), name: str = "classes"
) -> Iterator[Leaf]:
    """Leaves below a node called `name`, with `depth` levels under it, or any number if it is 0.

    What is nested wrongly is a defect, but its names are read all the same, so that they are checked too.
    """
    if not isinstance(node, {0: (list, dict), 1: (list,)}.get(depth, (dict,))):
        wanted = "a list of class names" if depth <= 1 else f"a mapping {depth} levels deep"
        found.append(_defect(document, place, f"expected {wanted}, found {_kind(node)}; see `levels`"))
    elif not node:
        found.append(_defect(document, place, f"{name!r} is empty; add classes or remove it"))
    for i, below in enumerate(node if isinstance(node, list | dict) else ()):
        found += _check_name(document, (*place, i), below)
        if isinstance(node, list):
            yield (str(below),), (*place, i)
        else:
            inner = _walk(document, node[below], max(depth - 1, 0), found, (*place, i), str(below))
            yield from (((str(below), *path), at) for path, at in inner)


def _kind(node: object) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(node), repr(node))


def _names(document: Document, key: str, names: Iterable[Any], found: list[Defect]) -> Iterator[tuple[str, Place]]:
    """The class names under a key with their places, each checked as such."""
    for i, name in enumerate(names):
        found += _check_name(document, (key, i), name)
        yield str(name), (key, i)


def _check_name(document: Document, place: Place, name: object) -> Iterator[Defect]:
    if not isinstance(name, str):
        read = f"class name {_short(name)} was read as {type(name).__name__}; put its text in quotes"
        yield _defect(document, place, read)
    elif not name.strip() or name != name.strip():
        yield _defect(document, place, f"class name {_short(name)} is blank or has blanks at its ends; trim it")
    elif not name.isprintable():
        yield _defect(document, place, f"class name {_short(name)} holds an invisible character; write it without")


def _check_name_of_file(document: Document, name: str, broken: set[str]) -> Iterator[Defect]:
    if "name" in broken:
        return
    if not NAME_PATTERN.fullmatch(name):
        yield _defect(document, ("name",), f"name {name!r} must match {NAME_PATTERN.pattern}; rename it")
    elif name != document.path.stem:
        text = f"name {name!r} must equal the file's stem {document.path.stem!r}; rename one"
        yield _defect(document, ("name",), text)


def _check_source(document: Document, source: str) -> Iterator[Defect]:
    family = source.split("/", 1)[0]
    if family not in SOURCE_FAMILIES:
        known = ", ".join(SOURCE_FAMILIES)
        yield _defect(document, ("source",), f"unknown source family {family!r}; use one of: {known}")


def _check_level_names(document: Document, levels: Sequence[str]) -> Iterator[Defect]:
    for i, level in enumerate(levels):
        if not NAME_PATTERN.fullmatch(level):
            text = f"level {level!r} must match {NAME_PATTERN.pattern}; rename it"
            yield _defect(document, ("levels", i), text)
    if len(set(levels)) < len(levels):
        yield _defect(document, ("levels",), f"level names must differ, got {levels}; rename one")


def _check_repeated(document: Document, names: Iterable[tuple[str, Place]]) -> Iterator[Defect]:
    first: dict[str, int] = {}
    for name, place in names:
        if name in first:
            text = f"class {_short(name)} listed twice, first on line {first[name]}; keep one of each"
            yield _defect(document, place, text)
        first.setdefault(name, document.line(place))


def _check_listed(
    document: Document,
    classes: Iterable[tuple[str, Place]],
    ignore: Iterable[tuple[str, Place]],
    target: Iterable[tuple[str, Place]],
    named: Iterable[tuple[str, Place]],
) -> Iterator[Defect]:
    """What is ignored is not listed; what is kept as a target, or has a readable name, is."""
    listed = {name for name, _ in classes}
    for name, place in ignore:
        if name in listed:
            yield _defect(document, place, f"both ignored and listed: {name}; keep one of the two")
    for name, place in target:
        if name not in listed:
            yield _defect(document, place, f"target class nobody lists: {name}; list or remove it")
    for name, place in named:
        if name not in listed:
            yield _defect(document, place, f"names for a class that is not listed: {name}; remove")


def _check_parents(document: Document, levels: Sequence[str], leaves: Sequence[Leaf]) -> Iterator[Defect]:
    """No two classes of a level share a name; leaves are checked as such."""
    for depth, level in enumerate(levels[:-1]):
        places = {path[: depth + 1]: place[: depth + 2] for path, place in leaves}
        parents = Counter(prefix[-1] for prefix in places)
        last = {prefix[-1]: place for prefix, place in places.items()}
        for name, count in parents.items():
            if count > 1:
                text = f"level {level!r} names {name} under two parents; rename one"
                yield _defect(document, last[name], text)


def _check_task(document: Document, tree: Hierarchy) -> Iterator[Defect]:
    """Two levels, one above the other; targets and counts that fit the classes of the coarse one."""
    for key, level in (("coarse", tree.coarse), ("fine", tree.fine)):
        if level not in tree.levels:
            text = f"{key}: {level!r} is no level; use one of: {', '.join(tree.levels)}"
            yield _defect(document, (key,), text)
    if not {tree.coarse, tree.fine} <= set(tree.levels):
        return
    if tree.coarse == tree.fine and tree.long_tail == 1:
        text = f"coarse and fine are both {tree.fine!r}; that takes `long_tail`: name two levels, or add it"
        yield _defect(document, ("coarse" if "coarse" in document.data else "fine",), text)
    if tree.levels.index(tree.coarse) > tree.levels.index(tree.fine):
        text = f"coarse {tree.coarse!r} must stand above fine {tree.fine!r} in levels; swap them"
        yield _defect(document, ("coarse" if "coarse" in document.data else "fine",), text)
    yield from _check_target(document, tree) if tree.target else ()
    yield from _check_counts(document, tree) if tree.subclass_counts else ()


def _check_target(document: Document, tree: Hierarchy) -> Iterator[Defect]:
    """Every coarse class keeps some leaves on either side."""
    place: Place = ("target",) if "target" in document.data else ("coarse",)  # a variant has no target of its own
    for label, name in enumerate(tree.classes(tree.coarse)):
        leaves = {leaf for leaf, of in zip(tree.leaves, tree.labels(tree.coarse), strict=True) if of == label}
        kept = leaves & set(tree.target)
        if kept in (leaves, set()):
            side = "in" if kept else "outside"
            text = f"{name!r} has all its classes {side} target; each {tree.coarse} needs some on both sides"
            yield _defect(document, place, text)


def _check_counts(document: Document, tree: Hierarchy) -> Iterator[Defect]:
    """One count for every fine class of a superclass, and one way of thinning out at a time."""
    place = ("subclass_counts",)
    if tree.long_tail > 1:
        yield _defect(document, place, "long_tail and subclass_counts exclude each other; keep one")
    pairs = set(zip(tree.labels(tree.coarse), tree.labels(tree.fine), strict=True))
    sizes, given = Counter(coarse for coarse, _ in pairs), len(tree.subclass_counts)
    for label, name in enumerate(tree.classes(tree.coarse)):
        if sizes[label] != given:
            text = f"{given} counts, but {name!r} has {sizes[label]} classes; give one for each"
            yield _defect(document, place, text)


def _singletons(document: Document, levels: Sequence[str], leaves: Sequence[Leaf]) -> Iterator[Defect]:
    for depth, level in enumerate(levels[:-1]):
        children = Counter(prefix[-2] for prefix in dict.fromkeys(path[: depth + 2] for path, _ in leaves))
        alone = {path[depth]: place[: depth + 2] for path, place in leaves if children[path[depth]] == 1}
        if alone:
            text = (
                f"{level} with a single {levels[depth + 1]}: {_list(list(alone))}; "
                "it cannot collapse inside and counts as right in within-superclass accuracy"
            )
            yield _defect(document, next(iter(alone.values())), text, note=True)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _list(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
