"""Every collapse metric of a matrix of features at once; by superclass, of resampled images, of shuffled labels."""

import torch
from torch import Generator, Tensor

from benchmark.collapse.alignment import alignment, alignment_between, uniformity
from benchmark.collapse.margins import head_margins, margin_summary
from benchmark.collapse.moments import Moments, moments, wider_root, within_root
from benchmark.collapse.neural_collapse import Linear, equiangular, equinorm, nc1, nc3, nc4
from benchmark.collapse.norms import length_summary, lengths
from benchmark.collapse.resampler import Resampler
from benchmark.collapse.separability import cdnv, class_separation_r2, subclass_separability
from benchmark.collapse.spectrum import entropy_rank, participation_ratio, singular_values, spectrum_decay
from benchmark.collapse.variance import variance_split
from benchmark.metrics import METRICS

REPLICATE_BYTES = 2**25  # class means of so many resamples at a time
NAMES = tuple(name for name, metric in METRICS.items() if metric.family == "collapse")


def measure(
    features: Tensor, fine: Tensor, to_coarse: Tensor, head: Linear | None = None, probe: Linear | None = None
) -> dict[str, float]:
    """All collapse metrics.

    Features are read in float64 chunks, several times: a matrix mapped from a file needs no memory of its size.

    Args:
        features: (N, D) float on any device, not normalised, none of them zero.
        fine: (N,) int64 in [0, F).
        to_coarse: (F,) int64, the coarse label of each fine one.
        head: weight (K, D) and bias (K,) of the coarse head; margins, NC3 and NC4 are NaN without.
        probe: weight (F, D) and bias (F,) of a linear classifier of fine labels from the same features.

    Returns:
        Every entry of METRICS of the family "collapse", by name; NaN where undefined.

    Raises:
        ValueError: for a zero or non-finite feature, or shapes that disagree.
    """
    fine, to_coarse = _checked(features, fine, to_coarse, head, probe)
    unit, raw = moments(features, fine, unit=True), moments(features, fine)
    values = {"uniformity": uniformity(features)} | length_summary(lengths(features))
    values |= _of_moments(unit, raw, to_coarse, head, probe) | _of_root(features, fine, raw, to_coarse)
    if head is not None:
        values["nc4_coarse"] = nc4(features, raw.merged(to_coarse), head).mean()
        values |= margin_summary(head_margins(features, to_coarse[fine], head), to_coarse[fine])
    if probe is not None:
        values["nc4_fine"] = nc4(features, raw, probe).mean()
    return {name: float(values.get(name, torch.nan)) for name in NAMES}


def _checked(
    features: Tensor, fine: Tensor, to_coarse: Tensor, head: Linear | None, probe: Linear | None
) -> tuple[Tensor, Tensor]:
    """The labels where the features lie.

    Raises:
        ValueError: unless classifiers have a row for every class.
    """
    for name, linear, rows in (("head", head, int(to_coarse.max()) + 1), ("probe", probe, len(to_coarse))):
        if linear is not None and len(linear[0]) < rows:
            raise ValueError(f"expected a {name} of {rows} rows, one for each class, got {len(linear[0])}")
    return fine.to(features.device), to_coarse.to(features.device)


def _of_moments(
    unit: Moments, raw: Moments, to_coarse: Tensor, head: Linear | None, probe: Linear | None
) -> dict[str, Tensor]:
    """The metrics that follow from class moments alone, each of the moments' leading dimensions."""
    values = {
        "alignment_between": alignment_between(unit, to_coarse),
        "subclass_separability": subclass_separability(unit, to_coarse),
        "class_separation_r2": class_separation_r2(unit.merged(to_coarse)),
        "class_separation_r2_fine": class_separation_r2(unit),
        "alignment_coarse": alignment(unit.merged(to_coarse)),
        "alignment_fine": alignment(unit),
    }
    split = variance_split(raw, to_coarse)
    values |= dict(zip(("variance_coarse", "variance_fine", "variance_within"), split, strict=True))
    for level, of, linear in (("coarse", raw.merged(to_coarse), head), ("fine", raw, probe)):
        values[f"nc2_equinorm_{level}"] = equinorm(of)
        values[f"nc2_equiangular_{level}"] = equiangular(of)
        values[f"cdnv_{level}"] = cdnv(of)
        if linear is not None:
            values[f"nc3_{level}"] = nc3(of, linear[0])
    return values


def _of_root(features: Tensor, fine: Tensor, raw: Moments, to_coarse: Tensor) -> dict[str, Tensor]:
    """The metrics that need scatter or spectrum."""
    root, coarse = within_root(features, fine, raw), raw.merged(to_coarse)
    centred = singular_values(raw, root, centred=True)
    return {
        "nc1_fine": nc1(raw, root),
        "nc1_coarse": nc1(coarse, wider_root(root, raw, raw.centres(coarse, to_coarse))),
        "rankme": entropy_rank(singular_values(raw, root, centred=False)),
        "effective_rank": entropy_rank(centred),
        "participation_ratio": participation_ratio(centred),
        "spectrum_decay": spectrum_decay(centred),
    }


def measure_fine(features: Tensor, fine: Tensor, to_coarse: Tensor, probe: Linear | None = None) -> dict[str, float]:
    """Only the metrics that fine labels enter, e.g. of shuffled ones; as in `measure`, which gives the same values."""
    fine, to_coarse = _checked(features, fine, to_coarse, None, probe)
    unit, raw = moments(features, fine, unit=True), moments(features, fine)
    values = _of_moments(unit, raw, to_coarse, None, probe)
    values["nc1_fine"] = nc1(raw, within_root(features, fine, raw))
    if probe is not None:
        values["nc4_fine"] = nc4(features, raw, probe).mean()
    names = [name for name in NAMES if METRICS[name].level == "fine"]
    return {name: float(values.get(name, torch.nan)) for name in names}


def shuffled(fine: Tensor, to_coarse: Tensor, rng: Generator) -> Tensor:
    """Fine labels permuted among the images of each coarse class: what fine metrics are without subclass structure.

    Args:
        fine: (N,) int64 in [0, F).
        to_coarse: (F,) int64.
        rng: on the CPU.

    Returns:
        (N,) int64; every image keeps its coarse class and every fine class its size.
    """
    coarse = to_coarse.cpu()[fine.cpu()]
    order = torch.randperm(len(coarse), generator=rng)
    order = order[coarse[order].argsort(stable=True)]  # by coarse class, in random order inside it
    drawn = torch.empty_like(coarse)
    drawn[order] = fine.cpu()[coarse.argsort(stable=True)]
    return drawn.to(fine.device)


def by_superclass(
    features: Tensor, fine: Tensor, to_coarse: Tensor, head: Linear | None = None, probe: Linear | None = None
) -> dict[tuple[str, int], float]:
    """The metrics that can be told for one superclass: each is of the images of that superclass alone.

    NC4 asks for the nearest of all class means, of whatever superclass.

    Args:
        features: as in `measure`.
        fine: as in `measure`.
        to_coarse: as in `measure`.
        head: as in `measure`; without, margins and NC4 of coarse labels are left out.
        probe: as in `measure`; without, NC4 of fine labels is left out.

    Returns:
        By metric and coarse label, of the superclasses that occur; NaN where undefined.

    Raises:
        ValueError: as in `measure`.
    """
    fine, to_coarse = _checked(features, fine, to_coarse, head, probe)
    coarse, norms = to_coarse[fine], lengths(features)
    unit, raw = moments(features, fine, unit=True), moments(features, fine)
    present, position = coarse.unique(return_inverse=True)

    def average(of_image: Tensor) -> Tensor:
        sums = torch.zeros(len(present), dtype=torch.float64, device=features.device)
        sums.index_add_(0, position, of_image)
        return sums / torch.bincount(position)

    length = average(norms)
    columns = {"feature_norm": length, "feature_norm_cv": average((norms - length[position]).square()).sqrt() / length}
    if head is not None:
        margins = head_margins(features, coarse, head)
        columns |= {"margin_mean": average(margins), "margin_negative": average((margins < 0).double())}
        columns["nc4_coarse"] = average(nc4(features, raw.merged(to_coarse), head))
    if probe is not None:
        columns["nc4_fine"] = average(nc4(features, raw, probe))
    found: dict[tuple[str, int], float] = {}
    for row, label in enumerate(present.tolist()):
        inside = to_coarse[raw.labels] == label
        values = {name: column[row] for name, column in columns.items()}
        values |= _of_superclass(unit.among(inside), raw.among(inside), to_coarse)
        found |= {(name, label): float(values[name]) for name in NAMES if name in values}
    return found


def _of_superclass(unit: Moments, raw: Moments, to_coarse: Tensor) -> dict[str, Tensor]:
    """The metrics of class moments that make sense of the fine classes of one superclass."""
    return {
        "alignment_coarse": alignment(unit.merged(to_coarse)),
        "alignment_fine": alignment(unit),
        "alignment_between": alignment_between(unit, to_coarse),
        "subclass_separability": subclass_separability(unit, to_coarse),
        "class_separation_r2_fine": class_separation_r2(unit),
        "cdnv_fine": cdnv(raw),
    }


def bootstrap(
    features: Tensor,
    fine: Tensor,
    to_coarse: Tensor,
    weights: Tensor,
    head: Linear | None = None,
    probe: Linear | None = None,
) -> dict[str, Tensor]:
    """Collapse metrics of resampled images, for intervals.

    Metrics of pairs (alignment, uniformity) leave out pairs of an image with its own copy, which would pull every
    resample towards collapse. Class means of a resample carry their sampling noise twice, so that NC1 to NC3, CDNV,
    separability, R² and the split of variance of resamples lie to one side of the value. So all resamples are scaled
    (metrics that start at 0) or shifted (others) to have the value as their median: their spread is that between other
    sets of as many images, which is what an interval is to tell.
    RankMe, effective rank, participation ratio and spectrum decay are left out: copies lower the rank of a resample
    whatever the population is.

    Args:
        features: as in `measure`.
        fine: as in `measure`.
        to_coarse: as in `measure`.
        weights: (B, N) int, how often each image occurs in each resample; every fine class at least once.
        head: as in `measure`; without, its metrics are left out.
        probe: as in `measure`; without, its metrics are left out.

    Returns:
        (B,) float64 by metric; NaN where undefined.

    Raises:
        ValueError: as in `measure`, and for weights of another length or with an empty class.
    """
    itself = torch.ones_like(weights[:1])
    drawn = resampled(features, fine, to_coarse, torch.cat([itself, weights]), head, probe)
    return {name: _around(values[0], values[1:], name) for name, values in drawn.items()}


def _around(value: Tensor, resamples: Tensor, name: str) -> Tensor:
    """Resamples with the value as their median; as they are where either is undefined or infinite."""
    low, high = METRICS[name].low, METRICS[name].high
    median = resamples.nanmedian()
    if not (value - median).isfinite():
        return resamples
    if low == 0 and value > 0 and median > 0:
        return (resamples * (value / median)).clamp(max=high)
    return (resamples + (value - median)).clamp(low, high)


def resampled(
    features: Tensor,
    fine: Tensor,
    to_coarse: Tensor,
    weights: Tensor,
    head: Linear | None = None,
    probe: Linear | None = None,
) -> dict[str, Tensor]:
    """Collapse metrics of each resample as they are; arguments and names as in `bootstrap`, (B,) float64."""
    fine, to_coarse = _checked(features, fine, to_coarse, head, probe)
    weights = weights.to(features.device)
    resampler = Resampler(features, fine, to_coarse, head, probe)
    size = max(1, REPLICATE_BYTES // (8 * len(to_coarse) * features.shape[1]))
    parts = [_of_resamples(resampler, part, head, probe) for part in weights.split(size)]
    values = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    values["uniformity"] = uniformity(features, weights)
    return {name: values[name] for name in NAMES if name in values}


def _of_resamples(of: Resampler, weights: Tensor, head: Linear | None, probe: Linear | None) -> dict[str, Tensor]:
    unit, raw = of.moments(weights)
    values = _of_moments(unit, raw, of.to_coarse, head, probe) | length_summary(of.norms, weights)
    if of.margins is not None:
        values |= margin_summary(of.margins, of.to_coarse[of.fine], weights)
    return values | of.scatter(raw, weights)
