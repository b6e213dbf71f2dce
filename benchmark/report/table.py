"""Rows -> tables of mean and standard deviation over seeds, one per comparable group of cells."""

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.errors import InputError, unknown
from benchmark.metrics import METRICS
from benchmark.schema import RESULT_COLUMNS, SELECTION_COLUMNS

TRANSFER = ("coarse_acc", "fine_linear_acc", "fine_linear_within_acc", "fine_knn_acc", "fine_ncm_acc")
COLLAPSE = ("subclass_separability", "alignment_coarse", "uniformity", "rankme", "margin_cv")
HEADINGS = {
    "coarse_acc": "coarse %",
    "fine_linear_acc": "fine linear %",
    "fine_linear_within_acc": "within superclass %",
    "fine_knn_acc": "fine k-NN %",
    "fine_ncm_acc": "fine NCM %",
    "subclass_separability": "subclass separability",
    "alignment_coarse": "alignment coarse",
    "uniformity": "uniformity",
    "rankme": "RankMe",
    "margin_cv": "margin CV",
    "coarse_val_acc": "coarse validation %",
    "fine_intra_5shot_acc": "intra 5-shot %",
    "pretrain_seconds": "training s",
}
FOOT = (
    "Mean ± standard deviation over seeds, on the test split unless a column says validation; "
    "methods share initial weights, batches and crops per seed. "
    "Nothing is ranked: differences within the ± are not findings."
)

# Rows are comparable only if all of these agree.
GROUP = (
    "task",
    "hierarchy_version",
    "hierarchy_digest",
    "data_digest",
    "backbone",
    "backbone_args",
    "recipe",
    "recipe_params",
    "measures",  # changes no score, but a cell measured in two ways would count twice
    "metric_version",
)

TEXT = ("key", "task", "method", "reason", *(name for name in RESULT_COLUMNS if name.endswith("_digest")))


@dataclass(frozen=True)
class Table:
    """A comparison: one line per method."""

    title: str
    lines: pd.DataFrame  # strings, indexed by method
    failures: tuple[str, ...]  # "method, seed: reason"


def read(path: Path, needed: Iterable[str] = RESULT_COLUMNS, without: Collection[str] = ()) -> pd.DataFrame:
    """results.csv as a frame; text columns stay text.

    Args:
        path: a results folder, or its results.csv.
        needed: columns it must have.
        without: columns that are left unread.

    Raises:
        InputError: if the file is missing or has other columns.
    """
    file = path / "results.csv" if path.is_dir() else path
    text = dict.fromkeys(TEXT, str)
    try:
        frame = pd.read_csv(
            file, dtype=text, keep_default_na=False, na_values=[""], usecols=lambda name: name not in without
        ).copy()  # in one block
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: no results to read ({error}); name a results folder") from None
    missing = sorted(set(needed) - set(frame.columns) - set(without))
    if missing:
        raise InputError(f"{file}: columns {missing[:3]} missing; it was made by another version, run again")
    return frame


def tables(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[Table]:
    """One table for each group of comparable rows, methods in alphabetical order with the baseline first.

    Args:
        frame: rows with RESULT_COLUMNS.
        columns: score columns to show.
    """
    frame = frame.assign(label=labels(frame))
    for _, group in frame.groupby(list(GROUP), sort=True, dropna=False):
        first = group.iloc[0]
        lines = {str(label): _line(rows, columns) for label, rows in group.groupby("label")}
        order = sorted(lines, key=lambda label: (label != "baseline", natural(label)))
        shown = pd.DataFrame.from_dict({label: lines[label] for label in order}, orient="index")
        failed = group[group["status"] == "failed"]
        yield Table(
            title=f"{first['task']} · {first['backbone']} · recipe {first['recipe']}",
            lines=shown,
            failures=tuple(f"{r.label}, seed {r.seed}: {r.reason}" for r in failed.itertuples()),
        )


def checked_columns(names: Sequence[str]) -> Sequence[str]:
    """Names of score or selection columns.

    Raises:
        InputError: for a name that is neither, with the nearest one.
    """
    known = (*METRICS, *SELECTION_COLUMNS)
    for name in names:
        if name not in known:
            raise unknown("column", name, known, "See `c2f list metrics`.")
    return names


def markdown(frame: pd.DataFrame, columns: Sequence[str] = (*TRANSFER, *COLLAPSE)) -> str:
    """All tables in Markdown, with the foot that says what the figures are."""
    blocks = []
    for table in tables(frame, columns):
        lines = table.lines.rename_axis("method").reset_index()
        body = lines.to_markdown(index=False, disable_numparse=True)
        failures = "".join(f"\n- failed: {failure}" for failure in table.failures)
        blocks.append(f"**{table.title}**\n\n{body}\n{failures}")
    return "\n\n".join([*blocks, FOOT]) + "\n"


def check_parameters(frame: pd.DataFrame) -> None:
    """Raise InputError unless every row's method_params is a JSON object."""
    for text in frame["method_params"].unique():
        try:
            sound = isinstance(json.loads(text), dict)
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise InputError(f"method_params {text!r}: expected a JSON object such as {{}}; write the rows anew")


def slug(names: Sequence[str], taken: Sequence[str]) -> str:
    """Words for a file's name, numbered where another group has the same."""
    plain = re.sub("[^a-z0-9._]+", "-", "-".join(names).lower()).strip("-.") or "unnamed"
    return plain if plain not in taken else slug([*names, str(len(taken) + 1)], taken)


def _line(rows: pd.DataFrame, columns: Iterable[str]) -> dict[str, str]:
    sound = rows[rows["status"] == "ok"]
    failed = len(rows) - len(sound)
    seeds = str(len(sound)) + (f", {failed} failed" if failed else "")
    return {"seeds": seeds, **{heading(name): _spread(sound[name], name) for name in columns}}


def heading(name: str) -> str:
    """A column's name for people, with its unit."""
    title = METRICS[name].title if name in METRICS else name
    return HEADINGS.get(name) or (f"{title} %" if in_per_cent(name) else title)


@cache
def in_per_cent(name: str) -> bool:
    """Accuracies and other shares of images, of the head and of read-outs; AMI, which can be negative, is none."""
    metric = METRICS.get(name)
    return name.endswith("_acc") or (metric is not None and metric.family != "collapse" and metric.low == 0)


def figure(value: float, name: str, signed: bool = False, like: float | None = None) -> str:
    """A value of a column with as many decimals as it deserves, or as another value of it has; shares in per cent."""
    return figures([value], name, signed, None if like is None else [like])[0]


def figures(values: npt.ArrayLike, name: str, signed: bool = False, like: npt.ArrayLike | None = None) -> list[str]:
    """`figure` of each of many values, (n,), which is a hundred times as fast."""
    scale = 100 if in_per_cent(name) else 1
    numbers = np.asarray(values, np.float64) * scale
    sizes = np.abs(numbers if like is None else np.asarray(like, np.float64) * scale)
    decimals = np.where((sizes >= 10) | in_per_cent(name), 1, np.where(sizes >= 0.1, 2, 3))
    forms = {count: f"%{'+' if signed else ''}.{count}f" for count in (1, 2, 3)}
    return [forms[count] % number for count, number in zip(decimals.tolist(), numbers.tolist(), strict=True)]


def _spread(values: pd.Series, name: str) -> str:
    """`mean±std`."""
    known = pd.to_numeric(values, errors="coerce").dropna()
    if known.empty:
        return "—"
    mean, std = known.mean(), known.std()
    return figure(mean, name) + ("" if math.isnan(std) else f"±{figure(std, name, like=mean)}")


@cache
def natural(label: str) -> tuple[tuple[float, str], ...]:
    """Sorting key that puts beta=10 after beta=3: words and numbers in turn."""
    words = re.split(r"(\d+(?:\.\d+)?)", label)
    return tuple((float(word), "") if i % 2 else (0.0, word) for i, word in enumerate(words))


def labels(frame: pd.DataFrame) -> pd.Series:
    """Method names; where a method occurs with several parameters, those that differ are added.

    Of several plug-in files of one name, or one beside a shipped method, the digest of the file is.
    """
    files = frame["method_digest"].astype(object).fillna("").astype(str).str[:6]
    every = frame[["method", "method_params"]].assign(file=files)
    kinds = every.drop_duplicates()
    names = pd.concat([_names(rows) for _, rows in kinds.groupby("method")]) if len(kinds) else kinds["method"]
    found = every.merge(kinds.assign(label=names), on=list(every.columns), how="left")["label"]
    return found.set_axis(frame.index)


def _names(kinds: pd.DataFrame) -> pd.Series:
    """Of a method that occurs in several kinds."""
    params = [json.loads(text) for text in kinds["method_params"]]
    if len(set(kinds["file"])) > 1:
        params = [{**given, "file": file} for given, file in zip(params, kinds["file"], strict=True)]
    names = sorted({name for given in params for name in given})
    varied = [name for name in names if len({str(given.get(name)) for given in params}) > 1]
    told = [", ".join(f"{name}={given.get(name)}" for name in varied) for given in params]
    return (kinds["method"] + [f" ({text})" if text else "" for text in told]).astype(object)
