"""A row from a stranger, as JSON: what it may hold, before anything is computed from it.

Strict: unknown and repeated keys, NaN, texts that are long or hold control characters, numbers outside a metric's
range are refused. Whether the numbers are right is for `inspection`.
"""

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from benchmark.errors import InputError
from benchmark.metrics import METRICS, WORST
from benchmark.schema import CELL_COLUMNS, HISTORY_COLUMNS, METRIC_VERSION, SCHEMA_VERSION, Cost, Provenance, Selection
from benchmark.submission.parcel import KEY, shown

MAX_TEXT = 300  # characters of a text, if nothing else is said
MAX_LIST = 200_000  # characters of a list or mapping inside a column
MAX_FIGURES = 100_000
MAX_EPOCHS = 10_000
SLACK = 1e-6  # by which rounding may leave a range
MOST = 5  # problems told of one row

_FORMULA = ("=", "+", "-", "@")  # a spreadsheet that opens the merged tables would run it
_DIAGNOSTIC = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a line break or another character that does not print")
    if text.startswith(_FORMULA):
        raise ValueError("begins like a spreadsheet's formula")
    return text


def _canonical(text: str) -> str:
    """JSON in a column: written as we write it, and no deeper than a list of texts or a mapping to scalars."""
    value = parse(text.encode())
    texts = isinstance(value, list) and all(isinstance(member, str) for member in value)
    scalars = isinstance(value, dict) and not any(isinstance(member, dict | list) for member in value.values())
    if not texts and not scalars:
        raise ValueError("is no list of texts or mapping to scalars")
    if json.dumps(value, sort_keys=True) != text:
        raise ValueError("is not JSON as this program writes it")
    return text


def _mapping(text: str) -> str:
    if not text.startswith("{"):
        raise ValueError("is no mapping")
    return text


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_printable)]
Version = Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.+_-]{0,60}\z")]
Canonical = Annotated[str, Field(max_length=MAX_LIST), AfterValidator(_printable), AfterValidator(_canonical)]
Number = Annotated[float, Field(allow_inf_nan=False)] | None  # undefined is null
Extended = Number | Literal["inf", "-inf"]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Strict(BaseModel):
    """No unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def exactly(number: int) -> Any:
    """One integer; a Literal would take True for 1."""
    return Annotated[int, Field(ge=number, le=number)]


def _hex(*lengths: int) -> Any:
    pattern = "|".join(f"[0-9a-f]{{{length}}}" for length in lengths)
    return Annotated[str, Field(pattern=rf"^(?:{pattern})\z")]


def _model(name: str, kinds: Mapping[str, Any], base: type[BaseModel] = Strict) -> Any:
    """A model whose fields all have to be there; made, as what rows hold follows from tables elsewhere."""
    make: Any = create_model
    fields = {column: kind if isinstance(kind, tuple) else (kind, ...) for column, kind in kinds.items()}
    return make(name, __base__=base, **fields)


def _part(kind: type, **special: Any) -> Any:
    """The model of a part of a row, from its dataclass."""
    plain: Mapping[Any, Any] = {str: Text, bool: bool, int: Count, float: Number}
    return _model(kind.__name__, {n: special.get(n, plain[hint]) for n, hint in get_type_hints(kind).items()})


class _Open(BaseModel):
    """An epoch has diagnostics of its method beside the known columns."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
_Schema = (exactly(SCHEMA_VERSION), Field(alias="schema"))
_CELL = {
    **dict.fromkeys(CELL_COLUMNS, Text),
    **dict.fromkeys(
        ("method_params", "backbone_args", "recipe_params", "measures"), Annotated[Canonical, AfterValidator(_mapping)]
    ),
    "missing_classes": Canonical,
    "method_digest": _hex(0, 16),
    "data_digest": _hex(0, 16),
    **dict.fromkeys(("hierarchy_version", "seed"), Count),
    "key": Annotated[str, Field(pattern=rf"^{KEY}\z")],
    "metric_version": exactly(METRIC_VERSION),
    "method": Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*\z", max_length=100)],
}
_FIGURE = {
    **dict.fromkeys(("value", "low", "high", "untrained", "shuffled"), Extended),
    **dict.fromkeys(("metric", "layer", "superclass"), Text),
    "split": Literal["train", "test"],
}
_EPOCH = {
    **dict.fromkeys(HISTORY_COLUMNS, _Amount),
    **dict.fromkeys(("train_acc", "val_acc"), _Share | None),
    "epoch": Count,
    "loss": Number,  # of some methods a log-likelihood
}
_Cell = _model("Cell", _CELL)
_Figure = _model("Figure", _FIGURE)
_Epoch = _model("Epoch", _EPOCH, _Open)
_Provenance = _part(
    Provenance,
    **dict.fromkeys((f"{name}_version" for name in ("package", "python", "torch", "timm", "sklearn")), Version),
    device=Annotated[str, Field(pattern=r"^[a-z]{1,20}\z")],
    precision=Literal["fp32", "bf16"],
    init=Literal["scratch", "pretrained", "external"],
    split_digest=Annotated[str, Field(pattern=r"^(?:[0-9a-f]{16}(?:\+[0-9a-f]{16})?)?\z")],
    finished_at=Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\z")],
    git_commit=_hex(0, 40, 64),
    scored_commit=_hex(0, 40, 64),
    predictions_digest=_hex(64),
    features_digest=_hex(0, 64),
    command=Annotated[str, Field(max_length=10 * MAX_TEXT), AfterValidator(_printable)],
)
_Row = _model(
    "Row",
    {
        "schema_version": _Schema,
        "cell": _Cell,
        "selection": _part(Selection, coarse_val_acc=_Share | None, fine_val_acc=_Share, probe_l2=_Positive),
        "cost": _part(Cost, **dict.fromkeys(get_type_hints(Cost), _Amount)),
        "provenance": _Provenance,
        "figures": Annotated[list[_Figure], Field(min_length=1, max_length=MAX_FIGURES)],  # type: ignore[valid-type]
        "history": Annotated[list[_Epoch], Field(max_length=MAX_EPOCHS)],  # type: ignore[valid-type]
    },
)
_Failure = _model(
    "Failure",
    {
        "schema_version": _Schema,
        "cell": _Cell,
        "reason": Annotated[Text, Field(min_length=1)],
        "traceback": Annotated[str, Field(max_length=0)],
        "seconds": _Amount,
    },
)


def parse(content: bytes) -> Any:
    """JSON without NaN, infinity or a key that is there twice.

    Raises:
        ValueError: in words, if it is none.
    """
    try:
        return json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON; undefined is null")


def checked(model: type[BaseModel], value: Any) -> list[str]:
    """What does not fit a model, a line each."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return first([f"{shown('.'.join(map(str, one['loc'])))}: {shown(one['msg'])}" for one in found])
    return []


def read(content: bytes) -> dict[str, Any]:
    """A row whose form is sound.

    Raises:
        InputError: saying what is not, problems parted by semicolons.
    """
    record = _record(content)
    if problems := checked(_Row, record) or [*_figures(record), *_epochs(record)]:
        raise InputError("; ".join(first(problems)))
    return record


def read_failure(content: bytes) -> dict[str, Any]:
    """The record of a failed cell whose form is sound.

    Raises:
        InputError: saying what is not.
    """
    record = _record(content)
    if problems := checked(_Failure, record):
        raise InputError("; ".join(problems))
    return record


def first(problems: Sequence[str]) -> list[str]:
    """The first few of many problems, and how many more there are."""
    return [*problems[:MOST], *[f"… and {len(problems) - MOST} more"] * (len(problems) > MOST)]


def _record(content: bytes) -> dict[str, Any]:
    try:
        record = parse(content)
    except ValueError as error:
        raise InputError(f"not a row ({shown(error)})") from None
    if not isinstance(record, dict):
        raise InputError("not a row (not a JSON object)")
    version = record["cell"].get("metric_version") if isinstance(record.get("cell"), dict) else None
    if isinstance(version, int) and version != METRIC_VERSION:
        raise InputError(f"metric version {shown(version)}, this program's is {METRIC_VERSION}; score the cell anew")
    return record


def _figures(record: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the numbers of a row, whatever they were measured on."""
    seen: set[tuple[str, ...]] = set()
    for line in record["figures"]:
        place = tuple(line[name] for name in ("metric", "split", "layer", "superclass"))
        where = shown(", ".join(part for part in place if part))
        if line["metric"] not in METRICS:
            yield f"{where}: there is no such metric"
        elif place in seen:
            yield f"{where}: is there twice"
        else:
            yield from (f"{where}: {problem}" for problem in _outside(line))
        seen.add(place)
    for metric in METRICS:
        if (metric, "test", "", "") not in seen:
            yield f"{metric}, test: is not there; one that is undefined is null"


def _outside(line: Mapping[str, Any]) -> Iterator[str]:
    metric = METRICS[line["metric"]]
    slack = SLACK * max(1, abs(metric.low) if math.isfinite(metric.low) else 1)
    for name in ("value", "untrained", "shuffled"):
        number = _number(line[name])
        if number < metric.low - slack or number > metric.high + slack:
            yield f"{name} is {number:g}, outside {metric.low:g} to {metric.high:g}"
    low, high = _number(line["low"]), _number(line["high"])
    if low > high or math.isnan(low) != math.isnan(high):
        yield f"the interval is from {low:g} to {high:g}"


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def _epochs(record: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the history: an entry for each epoch of the recipe, diagnostics numbers with plain names."""
    num_epochs = json.loads(record["cell"]["recipe_params"]).get("epochs", 0)
    if [epoch["epoch"] for epoch in record["history"]] != list(range(len(record["history"]))):
        yield "history: epochs are not counted from 0"
    elif len(record["history"]) != num_epochs:
        yield f"history: {len(record['history'])} epochs, the recipe has {shown(num_epochs)}"
    for place, epoch in enumerate(record["history"]):
        for name in epoch.keys() - set(HISTORY_COLUMNS):
            value = epoch[name]
            if not _DIAGNOSTIC.fullmatch(name) or not (value is None or type(value) in (int, float)):
                yield f"history.{place}.{shown(name)}: expected a number under a name of small letters"
            elif value is not None and not abs(value) <= sys.float_info.max:
                yield f"history.{place}.{name}: not a finite number"


def superclasses(record: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Figures of superclasses that the task has not."""
    known = {"", WORST, *names}
    strange = sorted({line["superclass"] for line in record["figures"]} - known)
    return [f"figures of superclass {shown(name)!r}, which the task has not" for name in strange[:MOST]]
