"""What is measured: every metric by its column name, the lines of scores.csv, and what read-outs answered.

Shape letters: N images, D feature dimensions, K coarse classes, F fine classes, E episodes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Level = Literal["", "coarse", "fine"]
Family = Literal["head", "read-out", "collapse"]


@dataclass(frozen=True)
class Metric:
    """What a score means.

    Attributes:
        title: for people.
        level: the labels it is about; empty if none.
        family: of the coarse head, of a read-out of fine labels from frozen features, or of the features themselves.
        low: smallest possible value.
        high: largest.
        meaning: what is measured, and what an extreme says.
    """

    title: str
    level: Level
    family: Family
    low: float
    high: float
    meaning: str


_INF = float("inf")


def _head(title: str, meaning: str) -> Metric:
    return Metric(title, "coarse", "head", 0, 1, meaning)


def _fine(title: str, meaning: str, low: float = 0) -> Metric:
    return Metric(title, "fine", "read-out", low, 1, meaning)


def _collapse(title: str, level: Level, low: float, high: float, meaning: str) -> Metric:
    return Metric(title, level, "collapse", low, high, meaning)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "coarse_acc": _head("coarse accuracy", "arg-max of the pretraining head on coarse labels"),
        "worst_class_acc": _head(
            "worst class accuracy", "of the pretraining head, lowest over the classes it was trained on"
        ),
        "many_acc": _head(
            "accuracy, many-shot", "long-tailed tasks: of the head, classes of more than 100 training images"
        ),
        "medium_acc": _head(
            "accuracy, medium-shot", "long-tailed tasks: of the head, classes of 20 to 100 training images"
        ),
        "few_acc": _head(
            "accuracy, few-shot", "long-tailed tasks: of the head, classes of fewer than 20 training images"
        ),
        "source_coarse_acc": _head(
            "coarse accuracy, source", "subpopulation shift: of the head, on test images of subclasses it has seen"
        ),
        "coarse_ece": _head(
            "calibration error", "expected calibration error of the coarse head, 15 equal bins; 0 = calibrated"
        ),
        "coarse_confidence": _head("confidence", "mean largest softmax probability of the coarse head"),
        "fine_linear_acc": _fine(
            "fine accuracy, linear probe",
            "multinomial logistic regression on standardised frozen features; L2 chosen on fine validation",
        ),
        "fine_linear_worst_acc": _fine(
            "fine accuracy, linear probe, worst superclass", "of the linear probe, lowest over superclasses"
        ),
        "fine_linear_within_acc": _fine(
            "fine accuracy within the superclass",
            "of the linear probe, arg-max among the fine classes of the true superclass",
        ),
        "fine_knn_acc": _fine(
            "fine accuracy, k-NN", "cosine, k = 20, weights exp(s / 0.07), train and validation as bank"
        ),
        "fine_ncm_acc": _fine("fine accuracy, nearest class mean", "cosine to the class means of unit features"),
        "fine_recall_at_1": _fine("recall at 1", "test images whose nearest other test image is of their fine class"),
        "fine_recall_at_2": _fine(
            "recall at 2", "test images with one of their fine class among the 2 nearest other test images, by cosine"
        ),
        "fine_recall_at_5": _fine(
            "recall at 5", "test images with one of their fine class among the 5 nearest other test images, by cosine"
        ),
        "fine_recall_at_10": _fine(
            "recall at 10", "test images with one of their fine class among the 10 nearest other test images, by cosine"
        ),
        "fine_map_at_r": _fine(
            "MAP@R", "mean average precision at R, R = other test images of the class, by cosine (Musgrave et al. 2020)"
        ),
        "fine_5way_1shot_acc": _fine("5-way 1-shot", "episodes of 5 fine classes, 1 training image each, 15 queries"),
        "fine_5way_5shot_acc": _fine("5-way 5-shot", "episodes of 5 fine classes, 5 training images each, 15 queries"),
        "fine_5way_10shot_acc": _fine(
            "5-way 10-shot", "episodes of 5 fine classes, 10 training images each, 15 queries"
        ),
        "fine_allway_1shot_acc": _fine("all-way 1-shot", "episodes of all fine classes, 1 training image each"),
        "fine_allway_5shot_acc": _fine("all-way 5-shot", "episodes of all fine classes, 5 training images each"),
        "fine_allway_10shot_acc": _fine("all-way 10-shot", "episodes of all fine classes, 10 training images each"),
        "fine_intra_1shot_acc": _fine(
            "intra-superclass 1-shot", "episodes of the fine classes of one superclass, 1 training image each"
        ),
        "fine_intra_5shot_acc": _fine(
            "intra-superclass 5-shot", "episodes of the fine classes of one superclass, 5 training images each"
        ),
        "fine_intra_10shot_acc": _fine(
            "intra-superclass 10-shot", "episodes of the fine classes of one superclass, 10 training images each"
        ),
        "fine_cluster_ami": _fine(
            "clustering, AMI",
            "k-means inside each superclass, k = its fine classes; adjusted mutual information, mean over superclasses",
            low=-1,
        ),
        "fine_cluster_acc": _fine(
            "clustering, accuracy",
            "k-means inside each superclass, clusters best matched with fine classes; mean over superclasses",
        ),
        "fine_tuned_acc": _fine(
            "fine accuracy, fine-tuned", "the whole network trained on fine labels for a fixed budget (--fine-tune)"
        ),
        "alignment_coarse": _collapse(
            "alignment, coarse", "coarse", 0, 4, "mean squared distance within a coarse class; smaller = more collapsed"
        ),
        "alignment_fine": _collapse(
            "alignment, fine", "fine", 0, 4, "mean squared distance within a fine class; smaller = more collapsed"
        ),
        "alignment_between": _collapse(
            "alignment between fine classes",
            "fine",
            0,
            4,
            "mean squared distance within a coarse class between images of different fine classes; smaller = collapsed",
        ),
        "uniformity": _collapse(
            "uniformity", "", -8, 0, "log mean exp(-2 d²) over pairs; smaller = more spread over the sphere"
        ),
        "nc1_coarse": _collapse(
            "NC1, coarse", "coarse", 0, _INF, "within over between scatter of coarse classes; smaller = more collapsed"
        ),
        "nc1_fine": _collapse(
            "NC1, fine", "fine", 0, _INF, "within over between scatter of fine classes; smaller = more collapsed"
        ),
        "nc2_equinorm_coarse": _collapse(
            "NC2 equinorm, coarse", "coarse", 0, _INF, "variation of the lengths of centred class means; 0 = equal"
        ),
        "nc2_equinorm_fine": _collapse(
            "NC2 equinorm, fine", "fine", 0, _INF, "variation of the lengths of centred fine class means; 0 = equal"
        ),
        "nc2_equiangular_coarse": _collapse(
            "NC2 equiangular, coarse",
            "coarse",
            0,
            2,
            "mean |cosine + 1/(K-1)| of pairs of centred class means; 0 = as far apart as K directions can be",
        ),
        "nc2_equiangular_fine": _collapse(
            "NC2 equiangular, fine",
            "fine",
            0,
            2,
            "mean |cosine + 1/(F-1)| of pairs of centred fine class means; 0 = as far apart as F directions can be",
        ),
        "nc3_coarse": _collapse(
            "NC3, coarse", "coarse", 0, 4, "squared distance of the head's rows and the class means; 0 = self-dual"
        ),
        "nc3_fine": _collapse(
            "NC3, fine",
            "fine",
            0,
            4,
            "squared distance of the linear probe's rows and the fine class means; 0 = self-dual",
        ),
        "nc4_coarse": _collapse(
            "NC4, coarse", "coarse", 0, 1, "images on which the head and the nearest class mean disagree; 0 = collapsed"
        ),
        "nc4_fine": _collapse(
            "NC4, fine",
            "fine",
            0,
            1,
            "images on which the linear probe and the nearest fine class mean disagree; 0 = collapsed",
        ),
        "cdnv_coarse": _collapse(
            "CDNV, coarse", "coarse", 0, _INF, "class-distance normalised variance of coarse classes; 0 = collapsed"
        ),
        "cdnv_fine": _collapse(
            "CDNV, fine",
            "fine",
            0,
            _INF,
            "class-distance normalised variance of fine classes; large = fine classes overlap",
        ),
        "subclass_separability": _collapse(
            "subclass separability",
            "fine",
            0,
            _INF,
            "between-fine-within-coarse over within-fine scatter; 0 = subclasses indistinguishable",
        ),
        "class_separation_r2": _collapse(
            "class separation R²", "coarse", 0, 1, "1 - within / total cosine distance of coarse classes; 1 = collapsed"
        ),
        "class_separation_r2_fine": _collapse(
            "class separation R², fine",
            "fine",
            0,
            1,
            "1 - within / total cosine distance of fine classes; 1 = every fine class is one direction",
        ),
        "variance_coarse": _collapse(
            "variance between coarse classes",
            "coarse",
            0,
            1,
            "its share of the total variance; the three shares sum to 1",
        ),
        "variance_fine": _collapse(
            "variance between fine classes",
            "fine",
            0,
            1,
            "share between fine classes within coarse ones; 0 = collapsed",
        ),
        "variance_within": _collapse("variance within fine classes", "fine", 0, 1, "share within fine classes"),
        "rankme": _collapse("RankMe", "", 1, _INF, "effective rank of the uncentred features; 1 = one direction only"),
        "effective_rank": _collapse(
            "effective rank", "", 1, _INF, "exponential of the entropy of the singular values of the centred features"
        ),
        "participation_ratio": _collapse(
            "participation ratio", "", 1, _INF, "(sum of variances)² / sum of squared variances along principal axes"
        ),
        "spectrum_decay": _collapse(
            "spectrum decay", "", 0, _INF, "exponent a of variance ~ rank^-a along principal axes; larger = fewer axes"
        ),
        "margin_mean": _collapse(
            "margin, mean", "coarse", -_INF, _INF, "distance to the coarse decision boundary, mean over coarse classes"
        ),
        "margin_cv": _collapse(
            "margin, coefficient of variation", "coarse", 0, _INF, "of the class margins; 0 = perfectly balanced"
        ),
        "margin_negative": _collapse(
            "margin, share negative", "coarse", 0, 1, "images on the wrong side of a boundary, mean over coarse classes"
        ),
        "feature_norm": _collapse("feature norm", "", 0, _INF, "mean length of the features"),
        "feature_norm_cv": _collapse("feature norm, variation", "", 0, _INF, "standard deviation over mean length"),
    }
)
NULLS = ("untrained", "shuffled")
WORST = "(worst)"  # as a superclass: the lowest of them


@dataclass(frozen=True)
class Figure:
    """One line of scores.csv: a metric on a split, of all images or of one superclass, with what to hold it against.

    Attributes:
        metric: a key of METRICS.
        value: NaN if undefined.
        split: of the images measured.
        layer: hidden stage the features are from, e.g. "stage 2"; empty for those before the head.
        superclass: the coarse class it is about, `WORST` for the lowest of them; empty for all images.
        low: of the 95 % interval; NaN where there is none.
        high: of the same.
        untrained: the same metric of the network before training.
        shuffled: the same under fine labels shuffled inside each coarse class, mean over shuffles.
    """

    metric: str
    value: float
    split: Literal["train", "test"] = "test"
    layer: str = ""
    superclass: str = ""
    low: float = math.nan
    high: float = math.nan
    untrained: float = math.nan
    shuffled: float = math.nan

    @property
    def over(self) -> dict[str, float]:
        """The value in excess of both nulls; NaN where there is none, or where both are infinite."""
        return {f"over_{null}": self.value - getattr(self, null) for null in NULLS}


FIGURE_COLUMNS = (*(f.name for f in dataclasses.fields(Figure)), *(f"over_{null}" for null in NULLS))
EXCESS_COLUMNS = tuple(
    f"{name}_over_{null}"
    for name, metric in METRICS.items()
    if metric.family == "collapse"
    for null in NULLS
    if null == "untrained" or metric.level == "fine"
)


def is_headline(figure: Figure) -> bool:
    """Whether a figure is of all test images before the head: those have columns of their own in results.csv."""
    return figure.split == "test" and not figure.layer and not figure.superclass


def wide(figures: Iterable[Figure]) -> dict[str, float]:
    """The scores of a row: what was measured on all test images before the head, by column; the rest is NaN."""
    return {**dict.fromkeys(METRICS, math.nan), **{figure.metric: figure.value for figure in _headlines(figures)}}


def excess(figures: Iterable[Figure]) -> dict[str, float]:
    """EXCESS_COLUMNS of a row."""
    found = {f"{figure.metric}_{over}": value for figure in _headlines(figures) for over, value in figure.over.items()}
    return {name: found.get(name, math.nan) for name in EXCESS_COLUMNS}


def _headlines(figures: Iterable[Figure]) -> Iterator[Figure]:
    return (figure for figure in figures if is_headline(figure))


@dataclass(frozen=True)
class Predictions:
    """What the read-outs answered on test, N images: enough to recompute every figure of theirs without a network.

    Attributes:
        fine: (N,) int64 in [0, F), the true fine labels.
        shots: (F,) int64, training images of each fine class.
        coarse_logits: (N, K) float32 of the coarse head; None where there is none.
        source: (M, 2) int64, coarse label and the head's answer on test images of subclasses that pretraining has
            seen, of a subpopulation shift; else None.
        linear: (N,) int64, fine classes by the linear probe.
        linear_within: (N,) int64, the same among those of the true superclass.
        knn: (N,) int64.
        ncm: (N,) int64.
        first_hit: (N,) int64 >= 1, rank of the nearest other test image of the same fine class; 0 if there is none.
        average_precision: (N,) float32, at R; NaN if the class has no other image.
        episodes: for each setting, e.g. "5way_1shot", (E, K, 2) int64: queries of each superclass that
            were answered right, and all of them.
        clusters: (N,) int64, cluster inside the image's superclass.
        tuned: (N,) int64, fine classes by the fine-tuned network; None if there is none.
    """

    fine: Tensor
    shots: Tensor
    coarse_logits: Tensor | None
    source: Tensor | None
    linear: Tensor
    linear_within: Tensor
    knn: Tensor
    ncm: Tensor
    first_hit: Tensor
    average_precision: Tensor
    episodes: Mapping[str, Tensor]
    clusters: Tensor
    tuned: Tensor | None = None
