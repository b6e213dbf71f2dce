"""Every collapse metric of a matrix of features at once, and of each superclass."""

import torch
from torch import Tensor

from benchmark.collapse.alignment import alignment, alignment_between, uniformity
from benchmark.collapse.margins import head_margins, margin_summary
from benchmark.collapse.moments import Moments, moments, wider_root, within_root
from benchmark.collapse.neural_collapse import Linear, equiangular, equinorm, nc1, nc3, nc4
from benchmark.collapse.norms import length_summary, lengths
from benchmark.collapse.separability import cdnv, class_separation_r2, subclass_separability
from benchmark.collapse.spectrum import entropy_rank, participation_ratio, singular_values, spectrum_decay
from benchmark.collapse.variance import variance_split
from benchmark.metrics import METRICS

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
    fine, to_coarse = fine.to(features.device), to_coarse.to(features.device)
    unit, raw = moments(features, fine, unit=True), moments(features, fine)
    values = {"uniformity": uniformity(features)} | length_summary(lengths(features))
    values |= of_moments(unit, raw, to_coarse, head, probe) | _of_root(features, fine, raw, to_coarse)
    if head is not None:
        values["nc4_coarse"] = nc4(features, raw.merged(to_coarse), head)
        values |= margin_summary(head_margins(features, to_coarse[fine], head), to_coarse[fine])
    if probe is not None:
        values["nc4_fine"] = nc4(features, raw, probe)
    return {name: float(values.get(name, torch.nan)) for name in NAMES}


def of_moments(
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


def measure_fine(features: Tensor, fine: Tensor, to_coarse: Tensor) -> dict[str, float]:
    """The metrics that look at fine labels, those of a classifier left out: what a null of shuffled labels needs.

    Args:
        features: as in `measure`.
        fine: as in `measure`.
        to_coarse: as in `measure`.
    """
    unit, raw = moments(features, fine, unit=True), moments(features, fine)
    values = of_moments(unit, raw, to_coarse, None, None) | {"nc1_fine": nc1(raw, within_root(features, fine, raw))}
    return {name: float(value) for name, value in values.items() if METRICS[name].level == "fine"}


def bootstrap(features, fine, to_coarse, weights, head=None, probe=None):
    return {}


def by_superclass(features, fine, to_coarse, head=None, probe=None):
    return {}


def shuffled(fine, to_coarse, rng):
    coarse = to_coarse[fine]
    out = fine.clone()
    for c in coarse.unique():
        m = (coarse == c).nonzero().flatten()
        out[m] = fine[m[torch.randperm(len(m), generator=rng)]]
    return out
