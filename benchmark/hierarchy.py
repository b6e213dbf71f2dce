"""One YAML file -> a checked Hierarchy. The format is described in datasets/README.md."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark import documents
from benchmark.documents import Document, Place
from benchmark.schema import NAME_PATTERN, Hierarchy

SOURCE_FAMILIES = ("digits", "torchvision", "imagefolder", "synthetic", "tiny-imagenet", "imagenet32", "sop")


class _Words(BaseModel):
    """What every file says, and how a task may differ from plain coarse-to-fine."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    version: Annotated[int, Field(ge=1)]
    title: str
    coarse: str = ""
    fine: str = ""
    long_tail: Annotated[float, Field(ge=1, le=1e6)] = 1.0
    subclass_counts: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    provenance: str = ""


class _File(_Words):
    """The keys of a hierarchy file."""

    source: str
    image_size: Annotated[int, Field(ge=4, le=4096)]
    levels: Annotated[list[str], Field(min_length=2)]
    classes: dict[Any, Any]
    ignore: list[Any] | Literal["others"] = Field(default_factory=list)
    target: list[Any] = Field(default_factory=list)
    names: dict[Any, str] = Field(default_factory=dict)
    licence: str = "unknown"


class _Variant(_Words):
    """The keys of a file that takes its classes from another one."""

    of: str


def load(path: Path, files: Mapping[str, Path] = MappingProxyType({})) -> Hierarchy:
    """Read and check a hierarchy file.

    Args:
        path: the file.
        files: known hierarchy files by name, for a file that is a variant `of` another.

    Raises:
        InputError: with file, line, culprits and remedy for anything malformed or contradictory.
    """
    document = documents.read(path)
    return _load_variant(document, files) if "of" in document.data else _load_classes(document)


def _load_classes(document: Document) -> Hierarchy:
    file = document.parse(_File)
    _check_header(document, file)
    paths = tuple(_walk(document, file.classes, ("classes",), len(file.levels)))
    _check_unique(document, file, paths)
    tree = Hierarchy(
        name=file.name,
        version=file.version,
        title=file.title,
        source=file.source,
        image_size=file.image_size,
        levels=tuple(file.levels),
        paths=paths,
        coarse=file.coarse or file.levels[0],
        fine=file.fine or file.levels[-1],
        ignore="others" if file.ignore == "others" else tuple(file.ignore),
        target=tuple(file.target),
        long_tail=file.long_tail,
        subclass_counts=tuple(file.subclass_counts),
        names=dict(file.names),
        provenance=file.provenance.strip(),
        licence=file.licence,
        warnings=tuple(_singletons(file.levels, paths)),
    )
    _check_target(document, tree)
    _check_counts(document, tree)
    return tree


def _load_variant(document: Document, files: Mapping[str, Path]) -> Hierarchy:
    file = document.parse(_Variant)
    _check_name_of_file(document, file)
    if file.of not in files:
        raise document.error(("of",), f"no hierarchy {file.of!r}; known: {_list(sorted(files))}. Mend the name")
    if "of" in documents.read(files[file.of]).data:
        raise document.error(("of",), f"{file.of!r} is a variant itself; name the file that lists the classes")
    base = load(files[file.of])
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
    _check_levels(document, tree.levels, tree.coarse, tree.fine, file.long_tail)
    _check_counts(document, tree)
    return tree


def _check_header(document: Document, file: _File) -> None:
    _check_name_of_file(document, file)
    family = file.source.split("/", 1)[0]
    if family not in SOURCE_FAMILIES:
        known = ", ".join(SOURCE_FAMILIES)
        raise document.error(("source",), f"unknown source family {family!r}; use one of: {known}")
    for i, level in enumerate(file.levels):
        if not NAME_PATTERN.fullmatch(level):
            raise document.error(("levels", i), f"level {level!r} must match {NAME_PATTERN.pattern}; rename it")
    if len(set(file.levels)) < len(file.levels):
        raise document.error(("levels",), f"level names must differ, got {file.levels}; rename one")
    coarse, fine = file.coarse or file.levels[0], file.fine or file.levels[-1]
    _check_levels(document, tuple(file.levels), coarse, fine, file.long_tail)


def _check_name_of_file(document: Document, file: _Words) -> None:
    if not NAME_PATTERN.fullmatch(file.name):
        raise document.error(("name",), f"name {file.name!r} must match {NAME_PATTERN.pattern}; rename it")
    if file.name != document.path.stem:
        raise document.error(
            ("name",), f"name {file.name!r} must equal the file's stem {document.path.stem!r}; rename one"
        )


def _check_levels(document: Document, levels: tuple[str, ...], coarse: str, fine: str, long_tail: float) -> None:
    """Both known, and coarse above fine; a long-tailed task may be pretrained on the level it is evaluated on."""
    for key, level in (("coarse", coarse), ("fine", fine)):
        if level not in levels:
            raise document.error((key,), f"{key}: {level!r} is no level; use one of: {', '.join(levels)}")
    if coarse == fine and long_tail == 1:
        raise document.error(
            ("coarse",), f"coarse and fine are both {fine!r}; that takes `long_tail`: name two levels, or add it"
        )
    if levels.index(coarse) > levels.index(fine):
        raise document.error(("coarse",), f"coarse {coarse!r} must stand above fine {fine!r} in levels; swap them")


def _check_target(document: Document, tree: Hierarchy) -> None:
    """Target leaves are listed leaves, and every coarse class keeps some on either side."""
    for i, name in enumerate(tree.target):
        _check_name(document, ("target", i), name)
    strangers = sorted(set(tree.target) - set(tree.leaves))
    if strangers:
        raise document.error(("target",), f"target classes nobody lists: {_list(strangers)}; list or remove them")
    if len(set(tree.target)) < len(tree.target):
        raise document.error(("target",), "a class is listed twice; keep one of each")
    for label, name in enumerate(tree.classes(tree.coarse)) if tree.target else ():
        leaves = {leaf for leaf, of in zip(tree.leaves, tree.labels(tree.coarse), strict=True) if of == label}
        if leaves <= set(tree.target) or not leaves & set(tree.target):
            side = "in" if leaves <= set(tree.target) else "outside"
            raise document.error(
                ("target",), f"{name!r} has all its classes {side} target; each {tree.coarse} needs some on both sides"
            )


def _check_counts(document: Document, tree: Hierarchy) -> None:
    """One count for every fine class of a superclass, and one way of thinning out at a time."""
    if not tree.subclass_counts:
        return
    if tree.long_tail > 1:
        raise document.error(("subclass_counts",), "long_tail and subclass_counts exclude each other; keep one")
    pairs = set(zip(tree.labels(tree.coarse), tree.labels(tree.fine), strict=True))
    sizes = Counter(coarse for coarse, _ in pairs)
    for label, name in enumerate(tree.classes(tree.coarse)):
        if sizes[label] != len(tree.subclass_counts):
            raise document.error(
                ("subclass_counts",),
                f"{len(tree.subclass_counts)} counts, but {name!r} has {sizes[label]} classes; give one for each",
            )


def _walk(document: Document, node: object, place: Place, depth: int) -> Iterator[tuple[str, ...]]:
    """Root-to-leaf names below a node that has `depth` levels under it."""
    if not isinstance(node, list if depth == 1 else dict):
        wanted = "a list of class names" if depth == 1 else f"a mapping {depth} levels deep"
        raise document.error(place, f"expected {wanted}, found {_kind(node)}; see `levels`")
    if not node:
        raise document.error(place, f"{place[-1]!r} is empty; add classes or remove it")
    for i, name in enumerate(node):
        _check_name(document, (*place, i), name)
        below = _walk(document, node[name], (*place, name), depth - 1) if isinstance(node, dict) else [()]
        yield from ((name, *rest) for rest in below)


def _kind(node: object) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(node), repr(node))


def _check_name(document: Document, place: Place, name: object) -> None:
    if not isinstance(name, str):
        raise document.error(place, f"class name {name!r} was read as {type(name).__name__}; put its text in quotes")
    if not name.strip() or name != name.strip():
        raise document.error(place, f"class name {name!r} is blank or has blanks at its ends; trim it")


def _check_unique(document: Document, file: _File, paths: tuple[tuple[str, ...], ...]) -> None:
    leaves = [path[-1] for path in paths]
    repeated = [name for name, count in Counter(leaves).items() if count > 1]
    if repeated:
        last = max(i for i, name in enumerate(leaves) if name == repeated[0])
        raise document.error(_place(paths, last), f"classes listed twice: {_list(repeated)}; keep one of each")
    for depth, level in enumerate(file.levels[:-1]):
        prefixes = dict.fromkeys(path[: depth + 1] for path in paths)  # a set would name culprits in any order
        shared = [name for name, n in Counter(p[-1] for p in prefixes).items() if n > 1]
        if shared:
            prefix = [path[: depth + 1] for path in paths if path[depth] == shared[0]][-1]
            message = f"level {level!r} names {_list(shared)} under two parents; rename one"
            raise document.error(("classes", *prefix), message)
    ignored = [] if file.ignore == "others" else file.ignore
    for i, name in enumerate(ignored):
        _check_name(document, ("ignore", i), name)
    if len(set(ignored)) < len(ignored):
        raise document.error(("ignore",), "a class is listed twice; keep one of each")
    both = sorted(set(leaves) & set(ignored))
    if both:
        raise document.error(("ignore",), f"both ignored and listed: {_list(both)}; keep one of the two")
    strangers = sorted(str(name) for name in file.names if name not in set(leaves))
    if strangers:
        raise document.error(("names",), f"names for classes that are not listed: {_list(strangers)}; remove")


def _place(paths: tuple[tuple[str, ...], ...], leaf: int) -> Place:
    """Where in the file a leaf stands."""
    parents = paths[leaf][:-1]
    return ("classes", *parents, sum(path[:-1] == parents for path in paths[:leaf]))


def _singletons(levels: list[str], paths: tuple[tuple[str, ...], ...]) -> Iterator[str]:
    for depth, level in enumerate(levels[:-1]):
        children = Counter(p[-2] for p in dict.fromkeys(path[: depth + 2] for path in paths))
        alone = [name for name, count in children.items() if count == 1]
        if alone:
            yield (
                f"{level} with a single {levels[depth + 1]}: {_list(alone)}; "
                "it cannot collapse inside and counts as right in within-superclass accuracy"
            )


def _list(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
