"""YAML files read strictly: YAML 1.2, every complaint with file and line, validated by pydantic."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from benchmark.errors import InputError

MAX_BYTES = 8 << 20  # no hand-written or generated hierarchy comes near it; a mistaken path does
T = TypeVar("T")
Place = tuple[str | int, ...]  # keys and indices from the root to a value


class Document:
    """A parsed YAML mapping that knows the line of every value."""

    def __init__(self, path: Path, data: Mapping[str, Any], lines: Mapping[Place, int]) -> None:
        self.path, self.data, self.lines = path, data, lines

    def error(self, place: Place, message: str) -> InputError:
        """An error that points at a value, or at the nearest enclosing one."""
        while place and place not in self.lines:
            place = place[:-1]
        return InputError(f"{self.path}:{self.lines.get(place, 1)}: {message}")

    def parse(self, model: type[T], data: Mapping[str, Any] | None = None) -> T:
        """The document as a validated model.

        Raises:
            InputError: naming every key that is unknown, missing or out of range, with its line.
        """
        try:
            return TypeAdapter(model).validate_python(dict(self.data if data is None else data))
        except ValidationError as error:
            problems = [_describe(e) for e in error.errors()]
            place = tuple(error.errors()[0]["loc"])
            raise self.error(place, "; ".join(problems)) from None


def _describe(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "file"
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {where!r}: remove it or check its spelling"
    if error["type"] in ("missing", "missing_argument"):
        return f"missing key {where!r}: add it"
    found = repr(error["input"])
    return f"{where}: {error['msg']}, got {found if len(found) <= 60 else found[:57] + '...'}"


def read(path: Path) -> Document:
    """Read one YAML mapping.

    Raises:
        InputError: if the file cannot be read, is not YAML, repeats a key, uses anchors, is nested absurdly
            deep, or is not a mapping.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB; is this the right file?")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    return _parse(path, text)


def _parse(path: Path, text: str) -> Document:
    lines: dict[Place, int] = {}
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # anchors are refused below
            root = yaml.compose(text)
        _index(path, root, (), lines, set())
        data = yaml.constructor.construct_document(root) if root else None  # the same tree: parsing it takes longest
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: not valid YAML: {error.problem}; fix the syntax") from None
    except (YAMLError, ValueError, KeyError) as error:  # KeyError: `!!bool x`
        if isinstance(error, InputError):
            raise
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: not valid YAML: {first}; fix the syntax") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; a hierarchy has a few levels") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}:1: expected a mapping of keys, found {type(data).__name__}")
    return Document(path, data, lines)


def _index(path: Path, node: Node | None, place: Place, lines: dict[Place, int], seen: set[int]) -> None:
    if node is None:
        return
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if node.anchor or id(node) in seen:
        raise InputError(f"{path}:{line}: anchors and aliases are not allowed; write the value out")
    seen.add(id(node))
    if isinstance(node, SequenceNode):
        for i, item in enumerate(node.value):
            _index(path, item, (*place, i), lines, seen)
    elif isinstance(node, MappingNode):
        keys: dict[str, int] = {}
        for i, (key, value) in enumerate(node.value):
            name, at = str(key.value), key.start_mark.line + 1
            if key.anchor or key.tag == "tag:yaml.org,2002:merge":
                raise InputError(f"{path}:{at}: anchors and merge keys are not allowed; write the value out")
            if name in keys:
                raise InputError(
                    f"{path}:{at}: key {name!r} repeated, first on line {keys[name]}; remove or rename one"
                )
            keys[name] = at
            lines[(*place, name)] = lines[(*place, i)] = at  # by position too: a key may not be read as its text
            _index(path, value, (*place, name), lines, seen)
