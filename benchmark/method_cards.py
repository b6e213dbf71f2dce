"""What methods say of themselves, read from their source: to import one takes torch, and torch takes seconds."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.methods.base import Method

OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {ast.Div: operator.truediv, ast.Mult: operator.mul, ast.Add: operator.add, ast.Sub: operator.sub}
)


@dataclass(frozen=True)
class Card:
    """The class attributes of a method that a list shows; see `Method`."""

    title: str
    paper: str
    year: int
    family: str
    cost: float = 1.0  # the base class's


def of_class(cls: "type[Method]") -> Card:
    """The card of a method that is imported already."""
    return Card(cls.title, cls.paper, cls.year, cls.family, cls.cost)


def of_file(path: Path) -> Card:
    """The card of a method's file, whose attributes are literals or sums and products of them.

    Raises:
        ValueError: naming the file, if one is missing or is anything else.
    """
    wanted = {field.name for field in fields(Card)}
    found: dict[str, Any] = {}
    for cls in (node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)):
        for line in cls.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id in wanted:
                found[line.target.id] = _value(line.value, path)
    try:
        return Card(**found)
    except TypeError as error:
        raise ValueError(f"{path}: {error}; write them as literals in the class") from None


def _value(node: ast.expr | None, path: Path) -> Any:
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_value(node.left, path), _value(node.right, path))
    if isinstance(node, ast.Constant):
        return node.value
    raise ValueError(f"{path}: expected a literal, found {ast.unparse(node) if node else 'nothing'}; write one")
