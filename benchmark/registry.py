"""Names -> tasks, methods, backbones, suites, recipes and metrics; read-only views, built on first use."""

import dataclasses
import hashlib
import importlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from benchmark import documents, hierarchy, variants
from benchmark.errors import InputError, unknown
from benchmark.schema import METHOD_GROUP, NAME_PATTERN, Hierarchy, Kind, Recipe, Scalar, Task

if TYPE_CHECKING:
    from benchmark.methods.base import Method

PACKAGE = Path(__file__).parent
T = TypeVar("T")


class Suite(BaseModel):
    """A named grid: every task x method x backbone x seed, trained by one recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    tasks: list[str]
    methods: Literal["all"] | list[str | dict[str, dict[str, Scalar]]]  # a name, or {name: {parameter: value}}
    backbones: list[str]
    recipe: str
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


def hierarchy_folder() -> Path:
    """datasets/ of the checkout, or its copy inside an installed package."""
    packed = PACKAGE / "hierarchies"
    return packed if packed.is_dir() else PACKAGE.parent / "datasets"


def task(name: str, extra: Path | None = None) -> Task:
    """The task `HIERARCHY`, `HIERARCHY@COARSE:FINE` for two other levels of it, either with any `+MODIFIER` behind it.

    Args:
        name: as above; modifiers are those of benchmark.variants.
        extra: a further folder of hierarchy files; it may not redefine a shipped name.

    Raises:
        InputError: for an unknown name, level or modifier, or a file that is not a valid hierarchy.
    """
    base, *modifiers = name.split("+")
    stem, _, levels = base.partition("@")
    files = task_files(extra)
    path = _look_up("task", stem, files, "See `c2f list tasks`.")
    tree = hierarchy.load(path, files)
    coarse, fine = _levels(tree, levels) if levels else (tree.coarse, tree.fine)
    found = Task(base, _kind(tree, coarse, fine), tree, coarse, fine)
    for modifier in modifiers:
        found = variants.modify(found, modifier)
    if levels and tree.subclass_counts:
        raise InputError(f"task {base}: its counts are for {tree.coarse}:{tree.fine} alone; leave {levels!r} out")
    if found.pretraining.coarse_classes != found.evaluation.coarse_classes:
        raise InputError(f"task {base}: some {coarse} has all its classes on one side of `target`; take another level")
    return _checked(found, path)


def task_of(tree: Hierarchy, path: Path) -> Task:
    """The task on a hierarchy's own two levels.

    Raises:
        InputError: if there is nothing between the levels that could collapse; names the file at `path`.
    """
    return _checked(Task(tree.name, _kind(tree, tree.coarse, tree.fine), tree, tree.coarse, tree.fine), path)


def _checked(task: Task, path: Path) -> Task:
    num_coarse, num_fine = len(task.coarse_classes), len(task.fine_classes)
    if num_coarse < 2 or (num_fine <= num_coarse and task.kind == "coarse-to-fine"):
        raise documents.DocumentError(
            path,
            0,
            f"{task.coarse_level!r} has {num_coarse} classes and {task.fine_level!r} {num_fine}; coarse-to-fine "
            "transfer needs two coarse classes, and one of them with two fine classes or more",
        )
    return task


def _kind(tree: Hierarchy, coarse: str, fine: str) -> Kind:
    if tree.target:
        return "subpopulation-shift"
    return "long-tailed" if coarse == fine else "coarse-to-fine"


def task_files(extra: Path | None = None) -> Mapping[str, Path]:
    """Hierarchy files by name: the shipped ones, then those of `extra`."""
    shipped = _yaml_files(hierarchy_folder())
    if extra is None:
        return shipped
    if not extra.is_dir():
        raise InputError(f"--datasets-dir {extra}: no such folder; name one that holds hierarchy YAMLs")
    own = _yaml_files(extra)
    both = sorted(set(shipped) & set(own))
    if both and extra.resolve() != hierarchy_folder().resolve():
        raise InputError(f"{own[both[0]]}: the name {both[0]!r} is taken by a shipped task; rename the file")
    return MappingProxyType({**shipped, **own})


def _levels(tree: Hierarchy, pair: str) -> tuple[str, str]:
    coarse, _, fine = pair.partition(":")
    names = tree.levels
    if coarse not in names or fine not in names or names.index(coarse) >= names.index(fine):
        raise InputError(
            f"task {tree.name}@{pair}: expected COARSE:FINE out of {' > '.join(names)}; "
            f"write e.g. {tree.name}@{names[0]}:{names[-1]}"
        )
    return coarse, fine


def methods() -> Mapping[str, "type[Method]"]:
    """Method classes by name: shipped ones, those of installed packages, then those of `add_plugin`.

    Raises:
        InputError: for an installed plug-in that cannot be used, or takes a shipped name.
    """
    installed = _installed_methods()
    if both := sorted(set(_shipped_methods()) & set(installed)):
        raise InputError(f"the name {both[0]!r} of an installed plug-in is taken; rename its entry point")
    return MappingProxyType({**_shipped_methods(), **installed, **_plugins})


def method_names() -> tuple[str, ...]:
    """Names of all methods, sorted; of none of them a file is run."""
    return tuple(sorted({*shipped_method_files(), *foreign_method_names()}))


def shipped_method_files() -> Mapping[str, Path]:
    """Every file of benchmark/methods/ but `base`, by method name; folders hold none."""
    files = sorted((PACKAGE / "methods").glob("*.py"))
    return MappingProxyType({path.stem: path for path in files if path.stem not in ("__init__", "base")})


def foreign_method_names() -> tuple[str, ...]:
    """Names of the methods of installed packages and of `add_plugin`."""
    return (*(entry.name for entry in entry_points(group=METHOD_GROUP)), *_plugins)


def add_plugin(path: Path) -> None:
    """Make the method of a Python file known under the file's name, for this process.

    Raises:
        InputError: for a file that is not a usable plug-in, with file and line, or whose name is taken.
    """
    from benchmark import plugins

    name, cls = plugins.load_file(path)
    if name in methods() and plugins.source_file(methods()[name]).resolve() != path.resolve():
        raise InputError(f"--plugin {path}: the name {name!r} is taken; rename the file")
    _plugins[name] = cls


def method_digest(name: str) -> str:
    """Identity of a plug-in's file, 16 hex digits of its SHA-256; empty for a shipped method."""
    from benchmark import plugins

    if name in _shipped_methods():
        return ""
    return hashlib.sha256(plugins.source_file(methods()[name]).read_bytes()).hexdigest()[:16]


_plugins: dict[str, "type[Method]"] = {}


@lru_cache(maxsize=1)
def _shipped_methods() -> Mapping[str, "type[Method]"]:
    """Every file holds exactly one method."""
    from benchmark import plugins

    modules = {name: f"benchmark.methods.{name}" for name in shipped_method_files()}
    return {name: plugins.only_method(importlib.import_module(module)) for name, module in modules.items()}


@lru_cache(maxsize=1)
def _installed_methods() -> Mapping[str, "type[Method]"]:
    from benchmark import plugins

    return plugins.installed()


def method(name: str, params: Mapping[str, Any]) -> "Method":
    """A method with its parameters checked.

    Raises:
        InputError: for an unknown name, an unknown parameter, or a value out of range.
    """
    cls = _look_up("method", name, methods(), "See `c2f list methods`.")
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for given in params:
        if given not in known:
            raise unknown(f"parameter of {name}", given, known, f"See `c2f show method {name}`.")
    return validate(cls, params, f"method.{name}")


def recipe(name: str, changes: Mapping[str, Any] = MappingProxyType({})) -> Recipe:
    """A recipe, with some of its fields changed; a changed one carries a `+` after its name."""
    path = _look_up("recipe", name, recipe_files(), "See `c2f list recipes`.")
    document = documents.read(path)
    stored = document.parse(Recipe, {"name": name, **document.data})
    fields = set(stored.hyperparameters)
    for given in changes:
        if given not in fields:
            raise unknown("recipe field", given, fields, f"See `c2f show recipe {name}`.")
    changed = {**stored.hyperparameters, **changes}
    if changed == stored.hyperparameters:
        return stored
    return validate(Recipe, {"name": f"{name}+", "title": stored.title, **changed}, "recipe")


def recipe_files() -> Mapping[str, Path]:
    """Recipe files by name."""
    return _yaml_files(PACKAGE / "recipes")


def suite(name: str) -> Suite:
    """A named grid."""
    path = _look_up("suite", name, suite_files(), "See `c2f list suites`.")
    document = documents.read(path)
    return document.parse(Suite, {"name": name, **document.data})


def suite_files() -> Mapping[str, Path]:
    """Suite files by name."""
    return _yaml_files(PACKAGE / "suites")


def validate(model: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of a validated dataclass.

    Raises:
        InputError: naming each value that does not fit, its limits and what was given.
    """
    try:
        return TypeAdapter(model).validate_python(dict(values))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join([where, *map(str, e['loc'])])}: {e['msg']}, got {e['input']!r}" for e in error.errors()
        )
        raise InputError(f"{problems}. Change the value") from None


def _yaml_files(folder: Path) -> Mapping[str, Path]:
    files = sorted(folder.glob("*.yaml"), key=lambda path: path.stem)
    for path in files:
        if not NAME_PATTERN.fullmatch(path.stem):
            raise InputError(f"{path}: file names must match {NAME_PATTERN.pattern}; rename it")
    return MappingProxyType({path.stem: path for path in files})


def _look_up(kind: str, name: str, known: Mapping[str, T], remedy: str) -> T:
    if name not in known:
        raise unknown(kind, name, known, remedy)
    return known[name]
