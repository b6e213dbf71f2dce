"""What a leaderboard says, before it is written down: comparable rows as lines with intervals, tie groups and ranks.

Everything that is written or drawn (Markdown, CSV, LaTeX, the site, plots) is made from these frames alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_SEEDS = 3  # fewer are shown, but told apart from nothing

# One line per method (with its parameters, where a method occurs with several), best first.
LINE_COLUMNS = (
    "label",  # method, and the parameters that vary: unique in the board
    "method",
    "method_params",  # canonical JSON
    "slug",  # of the label, fit for a file's name; the same in every board of a leaderboard
    "n",  # finished seeds
    "seeds",  # "0, 1, 2"
    "separable",  # n >= MIN_SEEDS
    "tied",  # cannot be told from the best: no separable line is significantly better; False where not separable
    "rank",  # of the mean among separable lines, 1 is best; NaN where not separable
    "rank_low",  # ranks that the true means may have, all lines at once at 95 %: statistics.rank_bounds
    "rank_high",
    "difference",  # paired, to the reference, over the seeds both have; NaN for the reference itself
    "difference_low",
    "difference_high",
    "difference_n",
    "p_t",
    "p_wilcoxon",
    "p_holm",
    "effect",  # of the difference, in standard deviations of it; with its 95 % interval
    "effect_low",
    "effect_high",
    "failed",  # "seed 3: reason; seed 4: reason", or ""
    "missing",  # "4, 5": seeds that other methods of the board have and this one has neither finished nor failed
)
# and for each shown column C: C (mean over seeds), C_std, C_low, C_high (95 % t-interval, n - 1), C_n.
SUFFIXES = ("", "_std", "_low", "_high", "_n")


@dataclass(frozen=True)
class Board:
    """One comparison: cells of one task, backbone and recipe that differ in method and seed alone.

    Attributes:
        title: task, backbone and recipe in words.
        slug: the same, fit for a file's name and different for every board of a leaderboard.
        group: values of `table.GROUP`.
        metric: column that ranks, an accuracy in [0, 1].
        columns: what is shown, `metric` first; names of METRICS, SELECTION_COLUMNS or COST_COLUMNS.
        reference: label that differences are to, or "" where it has no finished row.
        lines: LINE_COLUMNS and, for each of `columns`, those with SUFFIXES; a row per method, best mean first,
            lines that are not separable after those that are, lines without a finished seed last.
        cells: finished rows with what was read of RESULT_COLUMNS, `label`, and `folder`, the results folder of each.
        p: (k, k) adjusted p-values of the paired difference between any two lines, in their order; NaN where fewer
            than MIN_SEEDS seeds are shared.
        detectable: difference to the reference that these seeds would show in four of five cases, in units of
            `metric`; NaN where nothing is separable.
    """

    title: str
    slug: str
    group: Mapping[str, str]
    metric: str
    columns: tuple[str, ...]
    reference: str
    lines: pd.DataFrame
    cells: pd.DataFrame
    p: Floats
    detectable: float


@dataclass(frozen=True)
class Overall:
    """Mean ranks over boards, of the methods that are separable in every one of them.

    Attributes:
        ranks: a row per method, best first: label, slug, mean_rank, low, high (bootstrap over seeds; boards are
            fixed), and the rank in each board under its slug.
        statistic: Friedman's chi-squared; NaN for fewer than three methods or two boards.
        p: of it.
        critical_difference: Nemenyi's, at 0.05; NaN likewise.
        cliques: labels that cannot be told apart by it, each group in the order of ranks.
        left_out: methods that are not separable in some board, with the boards' titles.
    """

    ranks: pd.DataFrame
    statistic: float
    p: float
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Leaderboard:
    """Everything that is published.

    Attributes:
        boards: by task, backbone, recipe.
        overall: None for a single board.
        outdated: rows whose definition has moved, with RESULT_COLUMNS, `folder`, `label` and `why`.
        digest: 16 hex digits over keys and predictions of every row that is counted; the same rows, the same digest.
        folders: results folders that were read.
        made_by: package version.
    """

    boards: tuple[Board, ...]
    overall: Overall | None
    outdated: pd.DataFrame
    digest: str
    folders: tuple[str, ...]
    made_by: str


@dataclass(frozen=True)
class About:
    """A method for people; of one that is not registered here only what its rows say.

    Attributes:
        title: name in tables.
        family: what it acts on, e.g. "input mixing"; "unknown" where it is not registered.
        paper: where it comes from, or "".
        year: of the paper, or 0.
    """

    title: str
    family: Literal["control", "image policy", "input mixing", "feature mixing", "contrastive", "unknown"]
    paper: str = ""
    year: int = 0
