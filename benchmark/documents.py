"""YAML files read strictly: YAML 1.2, every complaint with file and line, validated by pydantic."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from benchmark.errors import InputError

OLD_BREAKS = re.compile("[\x85\u2028\u2029]")  # end a line in YAML 1.1 and not in 1.2; the parser is in two minds
MAX_BYTES = 8 << 20  # no hand-written or generated hierarchy comes near it; a mistaken path does
T = TypeVar("T")
Place = tuple[str | int, ...]  # keys and indices from the root to a value


class DocumentError(InputError):
    """What is wrong in a file, and on which line of it; 0 stands for the file as a whole."""

    def __init__(self, path: Path, line: int, text: str) -> None:
        super().__init__(f"{path}:{line}: {text}" if line else f"{path}: {text}")
        self.path, self.line, self.text = path, line, text


@dataclass(frozen=True)
class Document:
    """A parsed YAML mapping that knows the line of every value.

    Attributes:
        path: the file.
        data: its content.
        lines: line of every value by its place in positions, e.g. (2, 0) for the first entry of the third key.
        names: place in positions of every entry of a mapping, by the place of the mapping and the text of the key.
        repeated: line and complaint of every repeated key; of such a key `data` holds one value.
    """

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[Place, int]
    names: Mapping[Place, Place]
    repeated: tuple[tuple[int, str], ...]

    def line(self, place: Place) -> int:
        """Line of a value, or of the nearest enclosing one; a key may be given by its name or its position."""
        at: Place = ()
        for part in place:
            below = self.names.get((*at, part), (*at, part))
            if below not in self.lines:
                break
            at = below
        return self.lines.get(at, 1)

    def error(self, place: Place, message: str) -> DocumentError:
        """An error that points at a value, or at the nearest enclosing one."""
        return DocumentError(self.path, self.line(place), message)

    def parse(self, model: type[T], data: Mapping[str, Any] | None = None) -> T:
        """The document as a validated model.

        Raises:
            InputError: naming every key that is unknown, missing or out of range, with its line.
        """
        try:
            return TypeAdapter(model).validate_python(dict(self.data if data is None else data))
        except ValidationError as error:
            found = problems(error)
            raise self.error(found[0][0], "; ".join(text for _, text in found)) from None


def problems(error: ValidationError) -> list[tuple[Place, str]]:
    """Place and text of everything that pydantic complains of."""
    return [(tuple(e["loc"]), _describe(e)) for e in error.errors()]


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
    document = scan(path)
    for line, complaint in document.repeated:
        raise DocumentError(path, line, complaint)
    return document


def scan(path: Path) -> Document:
    """Read one YAML mapping whose keys may be repeated; what is wrong otherwise stops the reading.

    Raises:
        DocumentError: as for `read`, but for repeated keys.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError(path, 0, f"larger than {MAX_BYTES >> 20} MiB; is this the right file?")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError(path, 0, f"cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise DocumentError(path, 0, f"not UTF-8 at byte {error.start}; save it as UTF-8") from None
    if strange := OLD_BREAKS.search(text):
        line, code = text.count("\n", 0, strange.start()) + 1, ord(strange[0])
        raise DocumentError(path, line, f"invisible character U+{code:04X} in line; delete it")
    return _parse(path, text)


@lru_cache(maxsize=64)  # a hierarchy of which others are variants is read again and again
def _parse(path: Path, text: str) -> Document:
    index, yaml = _Index(path), YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True  # the index has them, with both their lines
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # anchors are refused below
            root = yaml.compose(text)
        index.add(root, ())
        data = yaml.constructor.construct_document(root) if root else None  # the same tree: parsing it takes longest
    except DocumentError:
        raise
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError(path, line, f"not valid YAML: {error.problem}; fix the syntax") from None
    except RecursionError:
        raise DocumentError(path, 0, "nested too deeply; a hierarchy has a few levels") from None
    except Exception as error:  # a tag that does not fit makes ruamel raise anything from KeyError to IndexError
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DocumentError(path, index.unreadable(), f"not valid YAML: {first}; fix the syntax") from None
    if not isinstance(data, dict):
        raise DocumentError(path, 1, f"expected a mapping of keys, found {type(data).__name__}")
    return Document(path, data, index.lines, index.names, tuple(index.repeated))


class _Index:
    """Lines of the values of a composed document."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Place, int] = {}
        self.names: dict[Place, Place] = {}
        self.repeated: list[tuple[int, str]] = []
        self.scalars: list[Node] = []

    def add(self, node: Node | None, place: Place) -> None:
        """Note the lines of a node and of all below it; anchors are refused."""
        if node is None:
            return
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        if node.anchor:  # composing has refused aliases without one
            raise DocumentError(self.path, line, "anchors and aliases are not allowed; write the value out")
        if isinstance(node, SequenceNode):
            for i, item in enumerate(node.value):
                self.add(item, (*place, i))
        elif isinstance(node, MappingNode):
            self._add_mapping(node, place)
        else:
            self.scalars.append(node)

    def _add_mapping(self, node: MappingNode, place: Place) -> None:
        first: dict[str, int] = {}
        for key, value in node.value:
            name, at = str(key.value), key.start_mark.line + 1
            if key.anchor or key.tag == "tag:yaml.org,2002:merge":
                raise DocumentError(self.path, at, "anchors and merge keys are not allowed; write the value out")
            below = (*place, len(first))
            if name in first:
                complaint = f"key {name!r} repeated, first on line {first[name]}; remove or rename one"
                self.repeated.append((at, complaint))
                below = (*place, -len(self.repeated))  # counts for no position: the data have the first alone
            first.setdefault(name, at)
            self.lines[below] = at
            self.names.setdefault((*place, name), below)
            self.scalars += [key] if isinstance(key, ScalarNode) else []
            self.add(value, below)

    def unreadable(self) -> int:
        """Line of the first scalar that cannot be turned into a value, 0 if there is none."""
        for node in self.scalars:
            try:
                YAML(typ="safe", pure=True).constructor.construct_object(node, deep=True)
            except Exception:
                return int(node.start_mark.line) + 1
        return 0
