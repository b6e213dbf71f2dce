"""One YAML file -> a checked Hierarchy. The format is described in datasets/README.md."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from benchmark import documents
from benchmark.documents import Document, Place
from benchmark.schema import NAME_PATTERN, Hierarchy

SOURCE_FAMILIES = ("digits", "torchvision", "imagefolder", "synthetic")


class _File(BaseModel):
    """The keys of a hierarchy file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    version: Annotated[int, Field(ge=1)]
    title: str
    source: str
    image_size: Annotated[int, Field(ge=4, le=4096)]
    levels: Annotated[list[str], Field(min_length=2)]
    classes: dict[Any, Any]
    coarse: str = ""
    fine: str = ""
    ignore: list[Any] = Field(default_factory=list)
    names: dict[Any, str] = Field(default_factory=dict)
    provenance: str = ""
    licence: str = "unknown"


def load(path: Path) -> Hierarchy:
    """Read and check a hierarchy file.

    Raises:
        InputError: with file, line, culprits and remedy for anything malformed or contradictory.
    """
    document = documents.read(path)
    file = document.parse(_File)
    _check_header(document, file)
    paths = tuple(_walk(document, file.classes, ("classes",), len(file.levels)))
    _check_unique(document, file, paths)
    return Hierarchy(
        name=file.name,
        version=file.version,
        title=file.title,
        source=file.source,
        image_size=file.image_size,
        levels=tuple(file.levels),
        paths=paths,
        coarse=file.coarse or file.levels[0],
        fine=file.fine or file.levels[-1],
        ignore=tuple(file.ignore),
        names=dict(file.names),
        provenance=file.provenance.strip(),
        licence=file.licence,
        warnings=tuple(_singletons(file.levels, paths)),
    )


def _check_header(document: Document, file: _File) -> None:
    if not NAME_PATTERN.fullmatch(file.name):
        raise document.error(("name",), f"name {file.name!r} must match {NAME_PATTERN.pattern}; rename it")
    if file.name != document.path.stem:
        raise document.error(
            ("name",), f"name {file.name!r} must equal the file's stem {document.path.stem!r}; rename one"
        )
    family = file.source.split("/", 1)[0]
    if family not in SOURCE_FAMILIES:
        known = ", ".join(SOURCE_FAMILIES)
        raise document.error(("source",), f"unknown source family {family!r}; use one of: {known}")
    for i, level in enumerate(file.levels):
        if not NAME_PATTERN.fullmatch(level):
            raise document.error(("levels", i), f"level {level!r} must match {NAME_PATTERN.pattern}; rename it")
    if len(set(file.levels)) < len(file.levels):
        raise document.error(("levels",), f"level names must differ, got {file.levels}; rename one")
    for key in ("coarse", "fine"):
        level = getattr(file, key)
        if level and level not in file.levels:
            raise document.error((key,), f"{key}: {level!r} is no level; use one of: {', '.join(file.levels)}")
    order = [file.coarse or file.levels[0], file.fine or file.levels[-1]]
    if file.levels.index(order[0]) >= file.levels.index(order[1]):
        raise document.error(
            ("coarse",), f"coarse {order[0]!r} must stand above fine {order[1]!r} in levels; swap them"
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
        prefixes = {path[: depth + 1] for path in paths}
        shared = [name for name, n in Counter(p[-1] for p in prefixes).items() if n > 1]
        if shared:
            prefix = [path[: depth + 1] for path in paths if path[depth] == shared[0]][-1]
            message = f"level {level!r} names {_list(shared)} under two parents; rename one"
            raise document.error(("classes", *prefix), message)
    for i, name in enumerate(file.ignore):
        _check_name(document, ("ignore", i), name)
    if len(set(file.ignore)) < len(file.ignore):
        raise document.error(("ignore",), "a class is listed twice; keep one of each")
    both = sorted(set(leaves) & set(file.ignore))
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
        children = Counter(p[-2] for p in {path[: depth + 2] for path in paths})
        alone = [name for name, count in children.items() if count == 1]
        if alone:
            yield (
                f"{level} with a single {levels[depth + 1]}: {_list(alone)}; "
                "it cannot collapse inside and counts as right in within-superclass accuracy"
            )


def _list(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
