"""Tasks made out of tasks: the `+MODIFIER`s behind a task's name, and what `--control` adds.

A modifier changes the hierarchy, so the digest, the name and every stream of randomness of the task are its own.
"""

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from benchmark.errors import InputError, unknown
from benchmark.schema import Hierarchy, Task

MAX_SEED = 2**31 - 1


def modify(task: Task, modifier: str) -> Task:
    """The task after one modifier, its name with the modifier behind it.

    `random-superclasses:SEED`: fine classes dealt at random to as many superclasses of the same sizes, for what a
    meaningful hierarchy is worth. `merged-superclasses:K:SEED`: superclasses put together at random into K, for how
    coarse the labels may be. `long-tail:FACTOR`: training images of fine classes fall exponentially.
    `imbalanced:N-N-…`: so many training images of the fine classes of each superclass.

    Raises:
        InputError: for another modifier, or one that does not fit the task.
    """
    word, _, rest = modifier.partition(":")
    if word not in MODIFIERS:
        raise unknown("modifier", word, MODIFIERS, "A task is NAME[@COARSE:FINE][+MODIFIER…].")
    form, make = MODIFIERS[word]
    values = rest.split(form.separator) if rest else []
    if not form.least <= len(values) <= form.most or not all(re.fullmatch(form.number, value) for value in values):
        raise InputError(f"modifier {modifier!r} of {task.name}: write {form.example}")
    tree = make(task, values)
    return dataclasses.replace(
        task, name=f"{task.name}+{modifier}", hierarchy=tree, coarse_level=tree.coarse, fine_level=tree.fine
    )


def _random_superclasses(task: Task, values: Sequence[str]) -> Hierarchy:
    """Fine classes in the order of a hash, cut into pieces of the superclasses' sizes."""
    shuffled = _by_hash(task.fine_classes, f"{task.hierarchy.name}:random-superclasses:{_seed(task, values[0])}")
    sizes = Counter(task.fine_to_coarse)
    slots = [f"random_{label}" for label in range(len(task.coarse_classes)) for _ in range(sizes[label])]
    return _regrouped(task, dict(zip(shuffled, slots, strict=True)))


def _merged_superclasses(task: Task, values: Sequence[str]) -> Hierarchy:
    """Superclasses in the order of a hash, dealt in turn to K groups."""
    count, names = int(values[0]), task.coarse_classes
    if task.hierarchy.subclass_counts:
        raise InputError(f"{task.name}: its counts are for the superclasses it has; merge those of the plain task")
    if not 2 <= count < len(names):
        raise InputError(f"merged-superclasses:{count} of {task.name}: from 2 to {len(names) - 1} can be made of them")
    shuffled = _by_hash(names, f"{task.hierarchy.name}:merged-superclasses:{_seed(task, values[1])}")
    groups = ["+".join(sorted(shuffled[i::count])) for i in range(count)]
    merged = {name: groups[i % count] for i, name in enumerate(shuffled)}
    pairs = zip(task.fine_classes, task.fine_to_coarse, strict=True)
    return _regrouped(task, {fine: merged[names[coarse]] for fine, coarse in pairs})


def _long_tail(task: Task, values: Sequence[str]) -> Hierarchy:
    factor = float(values[0])
    if not 1 < factor <= 1e6:
        raise InputError(f"long-tail:{values[0]} of {task.name}: the factor is largest class over smallest, above 1")
    return dataclasses.replace(_plain(task), long_tail=factor)


def _imbalanced(task: Task, values: Sequence[str]) -> Hierarchy:
    counts, sizes = tuple(int(value) for value in values), Counter(task.fine_to_coarse)
    wrong = [name for label, name in enumerate(task.coarse_classes) if sizes[label] != len(counts)]
    if wrong or min(counts) < 1:
        raise InputError(
            f"imbalanced:{'-'.join(values)} of {task.name}: expected a count of at least 1 for each fine class of a "
            f"superclass; {', '.join(wrong[:5]) or 'one'} does not fit"
        )
    return dataclasses.replace(_plain(task), subclass_counts=counts)


def _plain(task: Task) -> Hierarchy:
    """The task's hierarchy at the task's levels, if its training images are not thinned out yet."""
    tree = task.hierarchy
    if tree.long_tail > 1 or tree.subclass_counts:
        raise InputError(f"{task.name}: its training images are thinned out already; take the task it comes from")
    return dataclasses.replace(tree, coarse=task.coarse_level, fine=task.fine_level)


def _regrouped(task: Task, superclass: Mapping[str, str]) -> Hierarchy:
    """The hierarchy with another level on top of its fine classes, instead of all that was there."""
    tree = task.hierarchy
    if tree.target or task.coarse_level == task.fine_level:
        raise InputError(f"{task.name}: superclasses can be regrouped in coarse-to-fine tasks only")
    if tree.source.startswith("synthetic"):
        raise InputError(f"{task.name}: its images are drawn from the tree; for a control take a task with real images")
    depth = tree.levels.index(task.fine_level)
    paths = [(superclass[path[depth]], *path[depth:]) for path in tree.paths]
    order = {name: i for i, name in enumerate(dict.fromkeys(superclass.values()))}
    return dataclasses.replace(
        tree,
        levels=("superclass_of_" + task.fine_level, *tree.levels[depth:]),
        paths=tuple(sorted(paths, key=lambda path: order[path[0]])),
        coarse="superclass_of_" + task.fine_level,
        fine=task.fine_level,
        warnings=(),
    )


def _by_hash(names: Sequence[str], salt: str) -> list[str]:
    """Names in the order of SHA-256 of (salt, name): the same everywhere for ever."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{salt}:{name}".encode()).digest())


def _seed(task: Task, text: str) -> int:
    if int(text) > MAX_SEED:
        raise InputError(f"seed {text} of a modifier of {task.name}: at most {MAX_SEED}")
    return int(text)


@dataclasses.dataclass(frozen=True)
class _Form:
    """How a modifier's values are written."""

    example: str
    number: str = r"\d+"
    separator: str = ":"
    least: int = 1
    most: int = 1


MODIFIERS: Mapping[str, tuple[_Form, Callable[[Task, Sequence[str]], Hierarchy]]] = MappingProxyType(
    {
        "random-superclasses": (_Form("random-superclasses:SEED, e.g. random-superclasses:0"), _random_superclasses),
        "merged-superclasses": (
            _Form("merged-superclasses:K:SEED, e.g. merged-superclasses:10:0", least=2, most=2),
            _merged_superclasses,
        ),
        "long-tail": (_Form("long-tail:FACTOR, e.g. long-tail:100", number=r"\d+(\.\d+)?"), _long_tail),
        "imbalanced": (
            _Form("imbalanced:N-N-…, e.g. imbalanced:500-250-100-50-50", separator="-", least=2, most=10_000),
            _imbalanced,
        ),
    }
)
