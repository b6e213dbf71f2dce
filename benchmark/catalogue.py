"""What `c2f list` and `c2f show` print: the registry in words."""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_type_hints

from tabulate import tabulate

from benchmark import method_cards, registry
from benchmark.errors import unknown
from benchmark.metrics import METRICS

if TYPE_CHECKING:
    from benchmark.speed import Line

SMALL = 0.1  # ratios below it are shown to two digits
Listing = tuple[Sequence[str], Sequence[Sequence[str]]]


def listing(kind: str, datasets_dir: Path | None = None) -> Listing:
    """Headings and lines of `c2f list KIND`.

    Raises:
        InputError: for a kind that is not listed.
    """
    if kind == "tasks":
        return _tasks(datasets_dir)
    if kind not in LISTINGS:
        raise unknown("kind", kind, ["tasks", *LISTINGS], "See `c2f list --help`.")
    return LISTINGS[kind]()


def markdown(listing: Listing) -> str:
    """A listing as a Markdown table, for the docs."""
    headings, lines = listing
    rows = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    text: str = tabulate(rows, headings, tablefmt="github", disable_numparse=True)
    return f"{text}\n"


def speed_table(lines: "Iterable[Line]") -> Listing:
    """What `c2f speed` prints."""
    rows = [
        (
            line.name,
            f"{line.milliseconds:.1f}",
            f"{line.images_per_second:.0f}",
            _ratio(line.to_bare),
            _ratio(line.to_baseline),
            "–".join(
                f"{quartile:.2g}" if line.to_baseline < SMALL else f"{quartile:.2f}" for quartile in line.quartiles
            ),
            "" if math.isnan(line.memory_mb) else f"{line.memory_mb:.0f}",
        )
        for line in lines
    ]
    return ("step", "ms", "images/s", "to bare", "to baseline", "quartiles", "MiB"), rows


def _ratio(value: float) -> str:
    return f"{value:.2g}" if value < SMALL else f"{value:.3f}"


def details(kind: str, name: str, datasets_dir: Path | None = None) -> str:
    """The text of `c2f show KIND NAME`.

    Raises:
        InputError: for an unknown kind or name.
    """
    if kind == "task":
        return _task(name, datasets_dir)
    if kind not in DETAILS:
        raise unknown("kind", kind, ["task", *DETAILS], "See `c2f show --help`.")
    return DETAILS[kind](name)


def _tasks(datasets_dir: Path | None) -> Listing:
    lines = []
    for name in registry.task_files(datasets_dir):
        task = registry.task(name, datasets_dir)
        shape = f"{len(task.coarse_classes)} → {len(task.fine_classes)}"
        lines.append((name, shape, task.hierarchy.title))
    return ("task", "classes", "title"), lines


def _methods() -> Listing:
    if registry.foreign_method_names():  # what others wrote is described once it has been checked
        about = {name: method_cards.of_class(cls) for name, cls in registry.methods().items()}
    else:
        about = {name: method_cards.of_file(path) for name, path in registry.shipped_method_files().items()}
    lines = [
        (name, card.title, str(card.year), card.family, f"{card.cost:.3g}", card.paper) for name, card in about.items()
    ]
    return ("method", "title", "year", "family", "cost", "paper"), lines


def _parameters() -> Listing:
    lines = [(name, *parameter) for name, cls in registry.methods().items() for parameter in parameters(cls)]
    return ("method", "parameter", "default", "allowed", "meaning"), lines


def _backbones() -> Listing:
    from benchmark.small_backbones import VARIANTS

    lines = [(name, variant.title) for name, variant in VARIANTS.items()]
    return ("backbone", "title"), [
        *lines,
        ("any timm name", "e.g. resnet18, convnext_atto, vit_tiny_patch16_224"),
    ]


def _suites() -> Listing:
    lines = []
    for name in registry.suite_files():
        suite = registry.suite(name)
        methods = len(registry.method_names() if suite.methods == "all" else suite.methods)
        cells = len(suite.tasks) * methods * len(suite.backbones) * len(suite.seeds)
        most = "≤ " if suite.methods == "all" else ""  # some methods train some backbones only
        lines.append((name, f"{most}{cells}", suite.recipe, suite.title))
    return ("suite", "cells", "recipe", "title"), lines


def _recipes() -> Listing:
    recipes = [registry.recipe(name) for name in registry.recipe_files()]
    lines = [(r.name, str(r.epochs), str(r.batch_size), f"{r.optimizer} {r.lr:g}", r.title) for r in recipes]
    return ("recipe", "epochs", "batch", "optimiser", "title"), lines


def _metrics() -> Listing:
    lines = [
        (name, metric.family, f"[{metric.low:g}, {metric.high:g}]", metric.meaning) for name, metric in METRICS.items()
    ]
    return ("metric", "of", "range", "meaning"), lines


def _task(name: str, datasets_dir: Path | None) -> str:
    task = registry.task(name, datasets_dir)
    tree = task.hierarchy
    lines = [f"{task.name}: {tree.title}", ""]
    lines += _pairs(
        kind=task.kind,
        source=tree.source,
        images=f"{tree.image_size} px",
        levels=" > ".join(tree.levels),
        coarse=f"{task.coarse_level}, {len(task.coarse_classes)} classes",
        fine=f"{task.fine_level}, {len(task.fine_classes)} classes",
        version=tree.version,
        digest=tree.digest,
        licence=tree.licence,
    )
    for label, coarse in enumerate(task.coarse_classes):
        fine = [name for name, of in zip(task.fine_classes, task.fine_to_coarse, strict=True) if of == label]
        lines.append(f"  {coarse}: {', '.join(_readable(name, tree.names) for name in fine)}")
    if tree.ignore:
        lines.append(f"  left out: {'all others' if tree.ignore == 'others' else ', '.join(tree.ignore)}")
    if tree.target:
        lines.append(f"  evaluated only: {', '.join(_readable(name, tree.names) for name in tree.target)}")
    if tree.long_tail > 1:
        lines.append(f"  long tail: {tree.long_tail:g} times as many training images of the first class as of the last")
    if tree.subclass_counts:
        lines.append(f"  training images of a superclass's classes: {', '.join(map(str, tree.subclass_counts))}")
    lines += ["", *tree.provenance.splitlines(), *(f"note: {warning}" for warning in tree.warnings)]
    return "\n".join(lines).rstrip()


def _readable(name: str, names: Mapping[str, str]) -> str:
    return f"{name} ({names[name]})" if name in names else name


def _method(name: str) -> str:
    cls = type(registry.method(name, {}))
    lines = [f"{name}: {cls.title} ({cls.paper})", "", inspect.getdoc(cls) or "", ""]
    lines += _pairs(family=cls.family, cost=f"{cls.cost:.3g} x the baseline's passes")
    return "\n".join([*lines, "", "parameters:", *_fields(cls, f"--set method.{name}.")])


def _backbone(name: str) -> str:
    from benchmark import backbones
    from benchmark.small_backbones import VARIANTS

    backbones.check(name)
    variant = VARIANTS.get(name)
    if variant is None:
        return f"{name}: timm's model, with timm's stem (see timm for its arguments)"
    arguments = {key: value for key, value in variant.arguments.items()}
    return f"{name}: {variant.title}\n  timm model: {variant.timm_name}\n  arguments: {json.dumps(arguments)}"


def _suite(name: str) -> str:
    suite = registry.suite(name)
    return "\n".join([f"{name}: {suite.title}", "", *_pairs(**suite.model_dump(exclude={"name", "title"}))])


def _recipe(name: str) -> str:
    recipe = registry.recipe(name)
    lines = [f"{name}: {recipe.title}", "", *_pairs(**recipe.hyperparameters), ""]
    return "\n".join([*lines, "fields:", *_fields(type(recipe), "--set recipe.")])


def _metric(name: str) -> str:
    if name not in METRICS:
        raise unknown("metric", name, METRICS, "See `c2f list metrics`.")
    metric = METRICS[name]
    about = f"{metric.family}{f', {metric.level} labels' if metric.level else ''}"
    return f"{name}: {metric.title} ({about}), in [{metric.low:g}, {metric.high:g}]\n  {metric.meaning}"


class Parameter(NamedTuple):
    """A field of a validated dataclass, in words."""

    name: str
    default: str
    allowed: str
    meaning: str


def parameters(cls: type[Any]) -> Iterator[Parameter]:
    """The fields a user may set."""
    hints = get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if field.name in ("name", "title"):
            continue
        default = "required" if field.default is dataclasses.MISSING else _default(field.default)
        info = next((arg for arg in get_args(hints[field.name])[1:] if hasattr(arg, "description")), None)
        limits = [_limit(bound) for bound in info.metadata] if info else []
        choices = get_args(get_args(hints[field.name])[0]) if info else ()
        meaning = info.description or "" if info else ""
        yield Parameter(field.name, default, ", ".join([*map(str, choices), *limits]), meaning)


def _fields(cls: type[Any], prefix: str) -> Iterator[str]:
    for name, default, allowed, meaning in parameters(cls):
        yield f"  {prefix}{name}  {default if default == 'required' else f'default {default}'}" + (
            f"; {allowed}" if allowed else ""
        )
        if meaning:
            yield f"      {meaning}"


def _limit(bound: Any) -> str:
    """Pydantic's Ge(ge=0) as `>= 0`."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return ", ".join(f"{sign} {getattr(bound, name)}" for name, sign in signs.items() if hasattr(bound, name))


def _default(value: Any) -> str:
    return str(getattr(value, "default", value))


def _pairs(**values: object) -> list[str]:
    return [f"  {key}: {value}" for key, value in values.items()]


LISTINGS: Mapping[str, Callable[[], Listing]] = MappingProxyType(
    {
        "methods": _methods,
        "parameters": _parameters,
        "backbones": _backbones,
        "suites": _suites,
        "recipes": _recipes,
        "metrics": _metrics,
    }
)
DETAILS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"method": _method, "backbone": _backbone, "suite": _suite, "recipe": _recipe, "metric": _metric}
)
