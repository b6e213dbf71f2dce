"""The frozen types that every other module speaks, and the columns that follow from them.

Shape letters, the same in the whole package: N images, C channels, H height, W width, D feature
dimensions, K coarse classes, F fine classes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated

from benchmark.metrics import EXCESS_COLUMNS, METRICS, Figure

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA_VERSION = 2  # of the files under results/<suite>/; raised when a stored row changes its meaning
METRIC_VERSION = 4  # of the scores; raised when a definition changes or one is added, so that old cells are scored anew

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")  # only such names ever become paths

METHOD_GROUP = "benchmark.methods"  # of entry points by which packages offer methods: name = "package.module:Class"

EXTERNAL = "external"  # the recipe of rows whose network was trained elsewhere

Kind = Literal["coarse-to-fine", "long-tailed", "subpopulation-shift"]
Scalar = bool | int | float | str


def digest(value: object, length: int = 16) -> str:
    """SHA-256 of the canonical JSON of a value, as the first `length` hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Hierarchy:
    """A checked tree of class names over the classes of one data source.

    Attributes:
        name: equals the stem of its file.
        version: raised by hand when any class moves.
        title: one line for people.
        source: `family/name` of the images, e.g. `torchvision/CIFAR100`.
        image_size: edge of the decoded images, pixels.
        levels: names of the levels, coarsest first; at least two.
        paths: for each leaf class its names from the coarsest level to the leaf, len(levels) each.
        coarse: level whose labels pretraining sees unless a task says otherwise.
        fine: level that is evaluated unless a task says otherwise.
        ignore: classes of the source left out on purpose; "others" for all that are not listed.
        target: leaves kept away from pretraining, which evaluation is on; none: all leaves serve both.
        long_tail: imbalance factor of the training images of fine classes, largest class over smallest; 1: as they are.
        subclass_counts: training images of each fine class of a superclass, in the source's order; none: as they are.
        missing: leaves of the file that were dropped because the source has no images of them.
        names: readable names of leaf classes where the join key is an id.
        provenance: where the grouping comes from, and why.
        licence: of the images, or "unknown".
        warnings: what is legal but worth knowing, e.g. superclasses of one class.
    """

    name: str
    version: int
    title: str
    source: str
    image_size: int
    levels: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    coarse: str
    fine: str
    ignore: tuple[str, ...] | Literal["others"] = ()
    target: tuple[str, ...] = ()
    long_tail: float = 1.0
    subclass_counts: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict, hash=False)
    provenance: str = ""
    licence: str = "unknown"
    warnings: tuple[str, ...] = ()

    @property
    def leaves(self) -> tuple[str, ...]:
        """Class names as the data source spells them, in file order."""
        return tuple(path[-1] for path in self.paths)

    def classes(self, level: str) -> tuple[str, ...]:
        """Class names of a level, in order of first appearance; the position is the label."""
        depth = self.levels.index(level)
        return tuple(dict.fromkeys(path[depth] for path in self.paths))

    def labels(self, level: str) -> tuple[int, ...]:
        """For each leaf the label of its class at a level."""
        position = {name: i for i, name in enumerate(self.classes(level))}
        depth = self.levels.index(level)
        return tuple(position[path[depth]] for path in self.paths)

    def only(self, leaves: Collection[str]) -> Hierarchy:
        """The same tree with only some of its leaves, all of which serve pretraining and evaluation alike."""
        paths = tuple(path for path in self.paths if path[-1] in leaves)
        names = {name: text for name, text in self.names.items() if name in leaves}
        return dataclasses.replace(self, paths=paths, target=(), names=names)

    @cached_property
    def digest(self) -> str:
        """Identity of everything in the file that can change a number."""
        ignore = self.ignore if self.ignore == "others" else sorted(self.ignore)
        special = {"target": sorted(self.target), "long_tail": self.long_tail, "subclass_counts": self.subclass_counts}
        plain = {"target": [], "long_tail": 1.0, "subclass_counts": ()}
        changed = {key: value for key, value in special.items() if value != plain[key]}
        return digest([self.source, self.image_size, self.levels, self.paths, ignore, *([changed] if changed else [])])


@dataclass(frozen=True)
class Task:
    """Pretraining on one level of a hierarchy, evaluation on a finer one.

    Kinds: `coarse-to-fine`; `long-tailed`, where both levels are the same and pretraining sees the fine labels;
    `subpopulation-shift`, where evaluation is on fine classes that pretraining has not met.
    """

    name: str
    kind: Kind
    hierarchy: Hierarchy
    coarse_level: str
    fine_level: str

    @property
    def pretraining(self) -> Task:
        """The task on the leaves that pretraining sees; itself unless some are kept away."""
        tree = self.hierarchy
        seen = [leaf for leaf in tree.leaves if leaf not in tree.target]
        return dataclasses.replace(self, hierarchy=tree.only(seen)) if tree.target else self

    @property
    def evaluation(self) -> Task:
        """The task on the leaves that are evaluated, with the same coarse labels; itself unless some are kept away."""
        tree = self.hierarchy
        return dataclasses.replace(self, hierarchy=tree.only(tree.target)) if tree.target else self

    @property
    def coarse_classes(self) -> tuple[str, ...]:
        """The K names of coarse classes; the position is the label."""
        return self.hierarchy.classes(self.coarse_level)

    @property
    def fine_classes(self) -> tuple[str, ...]:
        """The F names of fine classes; the position is the label."""
        return self.hierarchy.classes(self.fine_level)

    @cached_property
    def fine_to_coarse(self) -> tuple[int, ...]:
        """For each fine label the coarse label of its superclass, F values in [0, K)."""
        pairs = zip(self.hierarchy.labels(self.fine_level), self.hierarchy.labels(self.coarse_level), strict=True)
        return tuple(coarse for _, coarse in sorted(set(pairs)))

    @property
    def identity(self) -> dict[str, Any]:
        """What of a task can change a number."""
        return {
            "task": self.name,
            "kind": self.kind,
            "coarse": self.coarse_level,
            "fine": self.fine_level,
            "hierarchy_version": self.hierarchy.version,
            "hierarchy_digest": self.hierarchy.digest,
        }


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """Training hyper-parameters of the pretraining phase."""

    name: str
    title: str
    epochs: Annotated[int, Field(ge=1, description="passes over the training split")]
    batch_size: Annotated[int, Field(ge=2, description="images per optimiser step")] = 128
    optimizer: Annotated[Literal["sgd", "adamw"], Field(description="SGD with Nesterov momentum, or AdamW")] = "sgd"
    lr: Annotated[float, Field(gt=0, description="peak learning rate")] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1, description="of SGD; AdamW uses betas 0.9, 0.999")] = 0.9
    weight_decay: Annotated[float, Field(ge=0, description="not applied to norms and biases")] = 5e-4
    warmup_epochs: Annotated[float, Field(ge=0, description="linear warm-up from 0 to lr")] = 0.0
    schedule: Annotated[Literal["cosine", "constant"], Field(description="after the warm-up")] = "cosine"
    policy: Annotated[
        Literal["none", "crop", "crop-flip"],
        Field(description="zero-padded random crop (padding: an eighth of the edge), horizontal flip"),
    ] = "crop-flip"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Field(description="auto: bf16 autocast where the processor or GPU computes in it, else fp32"),
    ] = "auto"
    compile: Annotated[bool, Field(description="torch.compile of the backbone, checked against it on a batch")] = False

    def __post_init__(self) -> None:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs={self.warmup_epochs:g} must be smaller than epochs={self.epochs}")

    @property
    def hyperparameters(self) -> dict[str, Scalar]:
        """Everything but the words, and whether the backbone is compiled only where it is."""
        return self.mathematics | ({"compile": True} if self.compile else {})

    @property
    def mathematics(self) -> dict[str, Scalar]:
        """Everything but the words and how it is computed."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in ("name", "title", "compile")}


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Measures:
    """What is measured of a cell beside the scores that every row has; none of it changes those."""

    track: Annotated[int, Field(ge=0, description="collapse metrics in history.csv every so many epochs; 0: never")] = 0
    layers: Annotated[bool, Field(description="collapse metrics at the hidden stages of the backbone")] = False
    fine_tune: Annotated[bool, Field(description="train the whole network on fine labels, too")] = False

    @property
    def chosen(self) -> dict[str, Scalar]:
        """Those that are asked for."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


@dataclass(frozen=True)
class Cell:
    """One run: a task, a method, a backbone, a recipe and a seed, all parameters resolved.

    A network that was trained elsewhere is a cell without a recipe: its method is the name it was given, and
    `method_digest` is of its file.
    """

    task: Task
    data_digest: str
    method: str
    method_params: Mapping[str, Scalar] = field(hash=False)
    backbone: str
    backbone_args: Mapping[str, Scalar] = field(hash=False)
    recipe: Recipe | None
    seed: int
    method_digest: str = ""  # of a plug-in's file; empty for a shipped method
    measures: Measures = field(default_factory=Measures)

    @property
    def shared_identity(self) -> dict[str, Any]:
        """What all methods of a comparison share; randomness derived from it is paired between them."""
        return {
            **self.task.identity,
            "data_digest": self.data_digest,
            "backbone": self.backbone,
            "backbone_args": dict(self.backbone_args),
            "recipe": self.recipe.mathematics if self.recipe else {},
            "seed": self.seed,
        }

    @property
    def training_identity(self) -> dict[str, Any]:
        """Everything that can change the trained network, but for how its backbone is computed."""
        plugin = {"method_digest": self.method_digest} if self.method_digest else {}
        return {**self.shared_identity, "method": self.method, "method_params": dict(self.method_params), **plugin}

    @property
    def features_identity(self) -> dict[str, Any]:
        """Everything that can change what scores are computed from."""
        measures = {"measures": self.measures.chosen} if self.measures.chosen else {}
        compiled = {"compile": True} if self.recipe and self.recipe.compile else {}
        return {**self.training_identity, **compiled, **measures}

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that can change the cell's numbers."""
        return {**self.features_identity, "metric_version": METRIC_VERSION}

    @cached_property
    def features_key(self) -> str:
        """Name of the file of kept features; another metric version finds it again."""
        return digest(self.features_identity, length=20)

    @cached_property
    def key(self) -> str:
        """Name of the cell's file: same key, same numbers."""
        return digest(self.identity, length=20)


class Images(Protocol):
    """Images (N, C, H, W) uint8: a tensor, or something that a tensor is gathered from where it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    def __getitem__(self, at: Any, /) -> Tensor:
        """Some of them, by their places along N."""

    def split(self, size: int, /) -> Iterable[Tensor]:
        """All of them, `size` at a time."""

    def to(self, device: Any, /) -> Tensor:
        """All of them on a device."""


@dataclass(frozen=True)
class Split:
    """Images with fine labels."""

    images: Images
    labels: Tensor  # (N,) int64 in [0, F)


@dataclass(frozen=True)
class CoarseSplit:
    """Images with coarse labels; the fine ones are gone."""

    images: Images
    labels: Tensor  # (N,) int64 in [0, K)


@dataclass(frozen=True)
class Data:
    """The three splits of a task, decoded."""

    train: Split
    val: Split
    test: Split
    shots: Tensor  # (F,) int64, training images of each fine class, those held out for validation included
    split_digest: str  # of the index lists that made the splits


@dataclass(frozen=True)
class Labels:
    """The true labels of everything that is scored."""

    train: Tensor  # (N,) int64 in [0, F), of the splits that are evaluated
    val: Tensor
    test: Tensor
    shots: Tensor  # (F,) int64, training images of each fine class
    held_out: Tensor  # (M,) int64 in [0, K), coarse labels of the images held out from pretraining
    source: Tensor | None = None  # (M',) int64 in [0, K), of test images of subclasses that pretraining has seen


Affine = tuple["Tensor", "Tensor"]  # weight (K, D) and bias (K,) of a linear classifier


@dataclass(frozen=True)
class Features:
    """One frozen pass over the splits, and what the coarse head that was trained on top makes of it."""

    train: Tensor  # (N, D) float32, pooled, before the head
    val: Tensor
    test: Tensor
    head: Affine | None  # the coarse head; None where it is not linear
    held_out_logits: Tensor | None  # (M, K) float32, the head on images held out from pretraining; None without a head
    test_logits: Tensor | None  # (N, K) float32, the head on test
    source_logits: Tensor | None = None  # (M, K) float32, the head on test images of subclasses it has seen, of a shift
    untrained: Tensor | None = None  # (N, D) float32, test images through the network before training
    layers: Mapping[str, Tensor] = field(default_factory=dict)  # test images at hidden stages, (N, D') each
    tuned: Tensor | None = None  # (N,) int64, fine classes of test images by the network trained on fine labels


@dataclass(frozen=True)
class Selection:
    """What was looked at before test was read: the only figures that may choose a hyper-parameter."""

    coarse_val_acc: float  # of the last epoch, whole validation split; pretraining choices use it alone
    fine_val_acc: float  # of the linear probe at the chosen L2
    probe_l2: float  # the chosen L2


@dataclass(frozen=True)
class Cost:
    """What a cell cost where it ran."""

    pretrain_seconds: float
    extract_seconds: float
    fine_tune_seconds: float  # 0 without --fine-tune
    score_seconds: float
    images_per_second: float  # median over epochs of the training loop
    peak_memory_mb: float  # resident set on a CPU, allocated memory on a GPU; MiB


@dataclass(frozen=True)
class Provenance:
    """How a row came about."""

    package_version: str
    git_commit: str  # empty outside a checkout
    git_dirty: bool
    python_version: str
    torch_version: str
    timm_version: str
    sklearn_version: str
    device: str
    device_name: str
    num_threads: int
    precision: str  # what the recipe's precision came to here
    init: str  # "scratch", or "pretrained"
    init_labels: str  # labels the initialisation has seen; "none" from scratch
    split_digest: str
    predictions_digest: str  # SHA-256 of the file of predictions
    features_digest: str  # SHA-256 of the file of kept features; empty if they were not kept
    scored_commit: str  # of the scores; another than git_commit where kept features were scored again
    command: str
    finished_at: str  # UTC, ISO 8601


@dataclass(frozen=True)
class Row:
    """A finished cell: what is stored, whole or not at all."""

    cell: Cell
    figures: tuple[Figure, ...]
    selection: Selection
    cost: Cost
    provenance: Provenance
    history: tuple[Mapping[str, float], ...]


CELL_COLUMNS = (
    "key",
    "task",
    "kind",
    "coarse_level",
    "fine_level",
    "hierarchy_version",
    "hierarchy_digest",
    "data_digest",
    "missing_classes",
    "method",
    "method_params",
    "method_digest",
    "backbone",
    "backbone_args",
    "recipe",
    "recipe_params",
    "seed",
    "measures",
    "metric_version",
)
SELECTION_COLUMNS = tuple(f.name for f in dataclasses.fields(Selection))
COST_COLUMNS = tuple(f.name for f in dataclasses.fields(Cost))
PROVENANCE_COLUMNS = tuple(f.name for f in dataclasses.fields(Provenance))
RESULT_COLUMNS = (
    *CELL_COLUMNS,
    "status",
    "reason",
    *METRICS,
    *EXCESS_COLUMNS,
    *SELECTION_COLUMNS,
    *COST_COLUMNS,
    *PROVENANCE_COLUMNS,
)
# Methods add diagnostics of their own after these, e.g. AM-mixup's "lam".
HISTORY_COLUMNS = ("epoch", "lr", "loss", "train_acc", "val_acc", "epoch_seconds", "images_per_second")


def cell_columns(cell: Cell) -> dict[str, Scalar]:
    """A cell as the values of CELL_COLUMNS; parameters as canonical JSON."""
    task = cell.task
    return {
        "key": cell.key,
        "task": task.name,
        "kind": task.kind,
        "coarse_level": task.coarse_level,
        "fine_level": task.fine_level,
        "hierarchy_version": task.hierarchy.version,
        "hierarchy_digest": task.hierarchy.digest,
        "data_digest": cell.data_digest,
        "missing_classes": json.dumps(task.hierarchy.missing),
        "method": cell.method,
        "method_params": json.dumps(dict(cell.method_params), sort_keys=True),
        "method_digest": cell.method_digest,
        "backbone": cell.backbone,
        "backbone_args": json.dumps(dict(cell.backbone_args), sort_keys=True),
        "recipe": cell.recipe.name if cell.recipe else EXTERNAL,
        "recipe_params": json.dumps(cell.recipe.hyperparameters if cell.recipe else {}, sort_keys=True),
        "seed": cell.seed,
        "measures": json.dumps(cell.measures.chosen, sort_keys=True),
        "metric_version": METRIC_VERSION,
    }
