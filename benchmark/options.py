"""What a user types, turned into a Grid: comma lists, seed ranges, `--set` changes, a suite as the base."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from benchmark import registry
from benchmark.errors import InputError, unknown
from benchmark.schema import Measures, Scalar
from benchmark.sweep import Grid

DEFAULT_SUITE = "quickstart"
DEFAULT_BACKBONE = "resnet18-thin"
DEFAULT_SEEDS = (0, 1, 2)
MAX_SEED = 2**31 - 1
LAUNCHERS = ("local", "slurm")


@dataclass(frozen=True)
class Request:
    """The options of `run` that span a grid; empty means not given."""

    suite: str = ""
    tasks: str = ""
    methods: str = ""
    backbones: str = ""
    seeds: str = ""
    recipe: str = ""
    changes: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    measures: Measures = field(default_factory=Measures)

    @property
    def name(self) -> str:
        """The folder of results: the suite's name, or `custom`."""
        return self.suite or ("custom" if self.tasks else DEFAULT_SUITE)


@dataclass(frozen=True)
class Changes:
    """Parsed `--set` options."""

    recipe: Mapping[str, Scalar] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    backbones: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)


def grid(request: Request) -> Grid:
    """The grid of a request.

    Raises:
        InputError: for anything that cannot be read, or a change to something that is not part of the run.
    """
    if request.tasks and not request.suite:
        if not request.recipe:
            known = ", ".join(registry.recipe_files())
            raise InputError(f"--tasks without --suite needs --recipe; known: {known}. Add one")
        base = registry.Suite(
            name="custom",
            title="",
            tasks=[],
            methods="all",
            backbones=[DEFAULT_BACKBONE],
            recipe=request.recipe,
            seeds=list(DEFAULT_SEEDS),
        )
    else:
        base = registry.suite(request.suite or DEFAULT_SUITE)
    changes = parse_changes(request.changes)
    entries = names_of("--methods", request.methods) or base.methods
    every = entries in ("all", ["all"])
    methods = [_entry(entry) for entry in (registry.methods() if every else entries)]
    chosen_backbones = names_of("--backbones", request.backbones) or base.backbones
    _check_used("method", changes.methods, [name for name, _ in methods])
    _check_used("backbone", changes.backbones, chosen_backbones)
    return Grid(
        tasks=["+".join([name, *request.controls]) for name in names_of("--tasks", request.tasks) or base.tasks],
        methods=[(name, {**params, **changes.methods.get(name, {})}) for name, params in methods],
        backbones=chosen_backbones,
        seeds=parse_seeds(request.seeds) if request.seeds else base.seeds,
        recipe=registry.recipe(request.recipe or base.recipe, changes.recipe),
        backbone_args=changes.backbones,
        measures=request.measures,
        only_fitting=every,
    )


def names_of(option: str, text: str) -> list[str]:
    """A comma list without repeats; commas in parentheses are part of a name, as in `am_mixup (alpha=1, beta=3)`."""
    names = [name.strip() for name in re.split(r",(?![^(]*\))", text)] if text else []
    if not all(names):
        raise InputError(f"{option} {text!r}: expected names with commas between; remove the empty one")
    return list(dict.fromkeys(names))


def parse_seeds(text: str) -> list[int]:
    """`0-4`, `0,3`, `0,7-9` -> seeds in the order given."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise InputError(f"--seeds {text!r}: cannot read {part!r}; write e.g. 0-4 or 0,3,7-9")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"--seeds {text!r}: the range {part.strip()} runs backwards; write {last}-{first}")
        if last > MAX_SEED or last - first >= 100_000:
            raise InputError(f"--seeds {text!r}: too large; seeds are at most {MAX_SEED}, ranges 100000 long")
        seeds.extend(range(first, last + 1))
    return list(dict.fromkeys(seeds))


def parse_changes(texts: Sequence[str]) -> Changes:
    """`recipe.FIELD=V`, `method.NAME.PARAMETER=V`, `backbone.NAME.ARGUMENT=V`; V is read as YAML."""
    recipe: dict[str, Scalar] = {}
    methods: dict[str, dict[str, Scalar]] = defaultdict(dict)
    backbones: dict[str, dict[str, Scalar]] = defaultdict(dict)
    for text in texts:
        place, equals, value = text.partition("=")
        kind, _, rest = place.strip().partition(".")
        name, _, parameter = rest.rpartition(".")  # names may hold dots: timm's resnet18.a1_in1k
        if (
            not equals
            or not parameter
            or kind not in ("recipe", "method", "backbone")
            or (kind != "recipe") != bool(name)
        ):
            raise InputError(
                f"--set {text!r}: expected recipe.FIELD=VALUE, method.NAME.PARAMETER=VALUE or "
                "backbone.NAME.ARGUMENT=VALUE; write e.g. method.am_mixup.beta=5"
            )
        target = {"recipe": recipe, "method": methods[name], "backbone": backbones[name]}[kind]
        target[parameter] = _scalar(text, value)
    return Changes(recipe, {k: v for k, v in methods.items() if v}, {k: v for k, v in backbones.items() if v})


def parse_parameters(method: str, texts: Sequence[str]) -> Mapping[str, Scalar]:
    """`PARAMETER=V` for one method."""
    return parse_changes([f"method.{method}.{text}" for text in texts]).methods.get(method, {})


def _scalar(text: str, value: str) -> Scalar:
    try:
        parsed = YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        parsed = None
    if not isinstance(parsed, bool | int | float | str):
        raise InputError(f"--set {text!r}: {value!r} is not a number, a word or true/false; write one")
    return parsed


def _entry(entry: str | dict[str, dict[str, Scalar]]) -> tuple[str, dict[str, Scalar]]:
    if isinstance(entry, str):
        return entry, {}
    ((name, params),) = entry.items()
    return name, dict(params)


def _check_used(kind: str, changed: Mapping[str, object], used: Sequence[str]) -> None:
    for name in changed:
        if name not in used:
            raise InputError(
                f"--set {kind}.{name}: {name!r} is not part of this run ({', '.join(used)}); add it or mend the name"
            )


def check_launcher(name: str, workers: int, grouped: bool, curves: bool) -> None:
    """Raise InputError unless a launcher is known, and its options go together.

    Args:
        name: of the launcher.
        workers: cells at once.
        grouped: whether torchrun started this process along with others.
        curves: whether training curves are asked for, which need every epoch as it ends.
    """
    if name not in LAUNCHERS:
        raise unknown("launcher", name, LAUNCHERS, "Change --launcher.")
    if name == "slurm" and workers > 1:
        raise InputError("--workers is of --launcher local; on Slurm, --array-parallelism says how many run at once")
    if name == "slurm" and curves:
        raise InputError("--tensorboard is of --launcher local; jobs of Slurm leave their epochs in history.csv")
    if grouped and (name != "local" or workers > 1):
        raise InputError("under torchrun all processes train one cell; leave --workers and --launcher out")
