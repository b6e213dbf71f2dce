"""The BREEDS tree over ImageNet's classes and the tasks drawn from it, keyed by WordNet id.

Santurkar, Tsipras, Madry, "BREEDS: Benchmarks for Subpopulation Shift" (ICLR 2021, arXiv:2008.04859), with the tree of
https://github.com/MadryLab/BREEDS-Benchmarks. The tasks equal those of breeds_helpers.py in MadryLab/robustness, which
gives class indices and so needs all 1000 folders of ImageNet; an id stays right whatever is missing.
"""

import dataclasses
import hashlib
import urllib.request
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast, get_args

import numpy as np
from pydantic import TypeAdapter, ValidationError

from benchmark.errors import InputError, unknown

CLASSES, EDGES, NAMES = "dataset_class_info.json", "class_hierarchy.txt", "node_names.txt"
SHA256: Mapping[str, str] = MappingProxyType(
    {
        CLASSES: "be90503d57a001f95e094a81dc4de90772bfc58546ca58061d6474799829afd0",
        EDGES: "039cfaddf9732855b93f7899ba4b5ba6d80f8dbe15cfaad566f575b6c8ce0216",
        NAMES: "322af45711ed69a7b199f11225bd964c7dae71df3c586498bef2f7c9e031dedb",
    }
)
URL = "https://github.com/MadryLab/BREEDS-Benchmarks/blob/master/imagenet_class_hierarchy/modified/{}?raw=true"
FOLDER = "imagenet_class_hierarchy/modified"  # below the data root, as in the repository
SECONDS = 30  # without an answer, after which a download is given up
MAX_BYTES = 16 << 20  # of one file; the largest published one has 60 kB

Split = Literal["rand", "good", "bad"]
SPLITS: tuple[str, ...] = get_args(Split)


@dataclass(frozen=True)
class Tree:
    """The ancestors of a data set's classes.

    Attributes:
        root: the one node without a parent.
        children: for each inner node the sorted ids below it.
        classes: ids of the data set's classes, in its own order; some may be outside the tree.
        names: readable name of every node and class.
    """

    root: str
    children: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    names: Mapping[str, str]

    def only(self, classes: Collection[str]) -> "Tree":
        """The tree of some of its classes; nodes keep their levels.

        Raises:
            InputError: if none of them is in the tree.
        """
        parents = {child: node for node, below in self.children.items() for child in below}
        left = tuple(name for name in self.classes if name in set(classes))
        children = _children(left, parents)
        if not children:
            raise InputError(
                f"none of {len(classes)} classes is in the tree; its classes are ids like {self.classes[0]}"
            )
        return dataclasses.replace(self, children=children, classes=left)

    def at_level(self, level: int, ancestor: str = "") -> list[str]:
        """Sorted ids of the nodes `level` steps below the root, those below or at an ancestor if one is given."""
        nodes = {self.root: self.root == ancestor}  # id -> whether it is below the ancestor
        for _ in range(level):
            nodes = {c: inside or c == ancestor for n, inside in nodes.items() for c in self.children.get(n, ())}
        return sorted(node for node, inside in nodes.items() if inside or not ancestor)

    def eligible(self, node: str) -> list[str]:
        """Sorted ids of the classes met first on the ways down from a node, and of the node itself if it is one."""
        found, todo = {node} & set(self.classes), list(self.children.get(node, ()))
        while todo:
            below = todo.pop()
            if below in self.classes:
                found.add(below)
            else:
                todo += self.children.get(below, ())
        return sorted(found)


@dataclass(frozen=True)
class Selection:
    """What to take from a tree.

    Attributes:
        level: of the superclasses, steps below the root.
        num_subclasses: classes of each superclass; superclasses with fewer are left out.
        ancestor: id that the superclasses are below; empty: the root.
        split: how classes are dealt to source and target, `num_subclasses` / 2 each; None: not at all. `rand` draws
            them; `good` has relatives on both sides; `bad` keeps relatives together, so that the sides differ most.
        balanced: so many classes of each superclass, instead of all of those that have as many.
        seed: of the draws.
    """

    level: int
    num_subclasses: int
    ancestor: str = ""
    split: Split | None = None
    balanced: bool = True
    seed: int = 2


@dataclass(frozen=True)
class Superclass:
    """A superclass of a task: its id, the sorted classes it could have, and those it has, in the order drawn."""

    node: str
    eligible: tuple[str, ...]
    source: tuple[str, ...]
    target: tuple[str, ...] = ()


def split_of(text: str) -> Split | None:
    """The split of a name; empty: none.

    Raises:
        InputError: for another name.
    """
    if text and text not in SPLITS:
        raise unknown("split", text, SPLITS, "Or leave it out.")
    return cast(Split, text) if text else None


def find(root: Path, download: bool = False) -> Path:
    """The folder of the published files below a data root, their SHA-256 checked.

    Args:
        root: of the data; the files are, or come to be, in its `imagenet_class_hierarchy/modified`.
        download: fetch files that are missing.

    Raises:
        InputError: if a file is missing, cannot be fetched, or is not the published one.
    """
    folder = root / FOLDER
    for name, wanted in SHA256.items():
        path = folder / name
        if not path.is_file():
            if not download:
                raise InputError(
                    f"no {name} in {folder}; fetch it with --download, put the three files of BREEDS there, or name "
                    "their folder with --tree"
                )
            _fetch(path, wanted)
        elif digest(path) != wanted:
            raise InputError(
                f"{path}: not the published file, SHA-256 is not {wanted}; delete it and use --download, or name a "
                "tree of your own with --tree"
            )
    return folder


def _fetch(path: Path, wanted: str) -> None:
    url = URL.format(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            content = answer.read(MAX_BYTES)
        found = hashlib.sha256(content).hexdigest()
        if found != wanted:
            raise InputError(f"{url}: changed, its SHA-256 is {found}, not {wanted}; get the file elsewhere")
        partial = path.with_name(f"{path.name}.part")
        partial.write_bytes(content)
        partial.replace(path)
    except (OSError, HTTPException) as error:
        raise InputError(
            f"{url}: download failed ({error}); check the network, or put the file into {path.parent} by hand, or "
            "name a folder that has it with --tree"
        ) from None


def digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from None


def read(folder: Path) -> Tree:
    """Read the three files of a tree: classes, edges and names.

    Raises:
        InputError: with file and line for anything malformed, a node with two parents or without a name, a circle.
    """
    classes, names, parents = _classes(folder / CLASSES), _names(folder / NAMES), _parents(folder / EDGES)
    path = folder / EDGES
    for child, (parent, line) in parents.items():
        for node in (parent, child):
            if node not in names:
                raise InputError(f"{path}:{line}: {node!r} has no line in {NAMES}; add one, or mend the id")
    root = _root(path, parents)
    children = _children(classes, {child: parent for child, (parent, _) in parents.items()})
    if not children:
        raise InputError(f"{path}: no class of {CLASSES} is in the tree; use files that belong together")
    return Tree(root, children, tuple(classes), {**names, **classes})


def _children(classes: Iterable[str], parents: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Sorted ids below each node, of the nodes that classes are below, and of those classes."""
    kept = {node for name in classes for node in _way_up(name, parents)}
    children: dict[str, list[str]] = {}
    for child in sorted(kept & set(parents)):
        children.setdefault(parents[child], []).append(child)
    return {node: tuple(below) for node, below in children.items()}


def _way_up(node: str, parents: Mapping[str, str]) -> Iterator[str]:
    yield node
    while node in parents:
        node = parents[node]
        yield node


def _root(path: Path, parents: Mapping[str, tuple[str, int]]) -> str:
    """The one node without a parent, which all others are below."""
    roots = sorted({parent for parent, _ in parents.values()} - set(parents))
    if len(roots) > 1:
        raise InputError(f"{path}: {len(roots)} nodes without a parent: {', '.join(roots[:5])}; a tree has one root")
    below = set(roots)
    left = dict(parents)
    while reached := [child for child, (parent, _) in left.items() if parent in below]:
        below.update(reached)
        left = {child: edge for child, edge in left.items() if child not in below}
    if left:
        child, (parent, line) = next(iter(left.items()))
        raise InputError(f"{path}:{line}: {child!r} below {parent!r} goes in a circle; remove an edge of the circle")
    return roots[0]


def _parents(path: Path) -> dict[str, tuple[str, int]]:
    """Parent and line of each child."""
    parents: dict[str, tuple[str, int]] = {}
    for number, line in _lines(path):
        fields = line.split()
        if len(fields) != 2:
            raise InputError(f"{path}:{number}: expected `PARENT CHILD`, found {line!r}; mend the line")
        parent, child = fields
        if child in parents:
            first, at = parents[child]
            raise InputError(
                f"{path}:{number}: {child!r} is below {first!r} since line {at}, and now below {parent!r}; "
                "a node of a tree has one parent: remove a line"
            )
        parents[child] = (parent, number)
    if not parents:
        raise InputError(f"{path}: empty; expected lines of `PARENT CHILD`")
    return parents


def _names(path: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for number, line in _lines(path):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not all(fields):
            raise InputError(f"{path}:{number}: expected `ID<tab>NAME`, found {line!r}; mend the line")
        if fields[0] in names:
            raise InputError(f"{path}:{number}: {fields[0]!r} has a name already; remove a line")
        names[fields[0]] = fields[1]
    return names


def _classes(path: Path) -> dict[str, str]:
    """Readable name of each class, in the order of the data set."""
    try:
        entries = TypeAdapter(list[tuple[int, str, str]]).validate_json(_text(path), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise InputError(f"{path}: {where}: {first['msg']}; expected a list of [index, id, name]") from None
    classes = {name: text for _, name, text in sorted(entries)}
    if [index for index, _, _ in sorted(entries)] != list(range(len(classes))):
        raise InputError(f"{path}: expected every index from 0 and every id once; remove repeated or add missing ones")
    return classes


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    yield from ((number, line) for number, line in enumerate(_text(path).splitlines(), 1) if line.strip())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); a tree is {', '.join(SHA256)}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None


def select(tree: Tree, wanted: Selection) -> tuple[Superclass, ...]:
    """The superclasses of a task with their classes, by the published procedure.

    Superclasses are in the order of their ids, so the position is the coarse label. One stream of random numbers goes
    through all of them. `rand` draws the same classes in the same order as no split.

    Raises:
        InputError: for an unknown ancestor, a level without superclasses of that size, an odd number to split,
            or a superclass that the rule of the split cannot halve.
    """
    if wanted.ancestor and wanted.ancestor not in {*tree.children, *tree.classes}:
        raise unknown("ancestor", wanted.ancestor, tree.children, "Ids are those of class_hierarchy.txt.")
    if wanted.num_subclasses < 1 or (wanted.split and wanted.num_subclasses % 2):
        form = "even and above 0, to be split in halves" if wanted.split else "above 0"
        raise InputError(f"the number of subclasses must be {form}, got {wanted.num_subclasses}; change it")
    nodes = tree.at_level(wanted.level, wanted.ancestor)
    found = [(node, tree.eligible(node)) for node in nodes]
    enough = [(node, eligible) for node, eligible in found if len(eligible) >= wanted.num_subclasses]
    if not enough:
        most = max((len(eligible) for _, eligible in found), default=0)
        below = f" below {wanted.ancestor} ({tree.names[wanted.ancestor]})" if wanted.ancestor else ""
        raise InputError(
            f"level {wanted.level}{below} has {len(nodes)} nodes, the largest with {most} classes, none with "
            f"{wanted.num_subclasses}; choose another level, ancestor or number of subclasses"
        )
    rng = np.random.RandomState(wanted.seed)
    return tuple(Superclass(node, tuple(all_), *_deal(tree, node, wanted, rng)) for node, all_ in enough)


def _deal(
    tree: Tree, node: str, wanted: Selection, rng: np.random.RandomState
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Source and target classes of one superclass."""
    if wanted.split is None:
        eligible = tree.eligible(node)
        return _draw(eligible, wanted.num_subclasses if wanted.balanced else len(eligible), rng), ()
    branches = _branches(tree, node)
    pool = sorted(name for branch in branches for name in branch)
    half = (wanted.num_subclasses if wanted.balanced else len(pool)) // 2
    if wanted.split == "rand":
        drawn = _draw(pool, min(2 * half, len(pool)), rng)
        source, target = drawn[:half], drawn[half:]
    else:
        source, target = _SPLIT_BY_BRANCH[wanted.split](branches, half)
    if not len(source) == len(target) == max(half, 1):
        raise InputError(
            f"{node} ({tree.names[node]}): the {wanted.split!r} split of {len(pool)} classes gives {len(source)} and "
            f"{len(target)}, not {half} and {half}; take fewer subclasses or another split"
        )
    return source, target


def _draw(names: Sequence[str], count: int, rng: np.random.RandomState) -> tuple[str, ...]:
    return tuple(names[i] for i in rng.choice(len(names), count, replace=False))


def _branches(tree: Tree, node: str) -> list[list[str]]:
    """Classes below each child of the first node downwards that has several; most classes first, equals by id."""
    below = tree.children.get(node, ())
    while len(below) == 1:
        below = tree.children.get(below[0], ())
    return sorted((tree.eligible(child) for child in below), key=lambda names: -len(names))


def _keep_together(branches: list[list[str]], half: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The `bad` split: whole branches to the shorter side; what overflows a side is spare, and fills the other."""
    source: list[str] = []
    target: list[str] = []
    spare: list[str] = []
    for names in branches:
        side = source if len(source) <= len(target) else target
        room = half - len(side)
        side += names[:room]
        spare += names[room:]
    for side in (source, target):
        side += spare[: half - len(side)]
    return tuple(source), tuple(target)


def _share_out(branches: list[list[str]], half: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The `good` split: half of each branch to either side while it has room; a single class to source first."""
    source: list[str] = []
    target: list[str] = []
    for names in branches:
        room = half - len(source)
        cut = min(len(names) // 2 or 1, room)
        space = half - len(target)
        source += names[:cut]
        target += names[cut : cut + space]
    return tuple(source), tuple(target)


_SPLIT_BY_BRANCH = MappingProxyType({"bad": _keep_together, "good": _share_out})
