import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import measure as module
from benchmark.collapse.measure import bootstrap, by_superclass, measure, measure_fine, resampled, shuffled
from benchmark.metrics import METRICS

TO_COARSE = torch.tensor([0, 0, 1, 1, 1, 2])
PAIRS = ("alignment_coarse", "alignment_fine", "uniformity")
SPECTRUM = ("rankme", "effective_rank", "participation_ratio", "spectrum_decay")
CLOSE = {"rel": 1e-8, "abs": 1e-12, "nan_ok": True}  # nc1's reference inverts a matrix; the rest are closer


@pytest.fixture
def head(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(3, 5, generator=rng), torch.randn(3, generator=rng)


@pytest.fixture
def probe(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(6, 5, generator=rng), torch.randn(6, generator=rng)


def by_reference(h: Tensor, fine: Tensor, coarse: Tensor, head, probe) -> dict[str, float]:
    weight, bias = (parameter.double() for parameter in head)
    margins = metrics.margins(h @ weight.T + bias, weight, coarse)
    of_class = metrics.class_margins(h @ weight.T + bias, weight, coarse)
    norms = np.linalg.norm(h.numpy(), axis=1)
    found = {
        "alignment_between": metrics.alignment_between(h, fine, coarse),
        "uniformity": metrics.uniformity(h),
        "subclass_separability": metrics.subclass_separability(h, fine, coarse),
        "class_separation_r2": metrics.class_separation_r2(h, coarse),
        "class_separation_r2_fine": metrics.class_separation_r2(h, fine),
        "rankme": metrics.rankme(h),
        "effective_rank": metrics.effective_rank(h),
        "participation_ratio": metrics.participation_ratio(h),
        "spectrum_decay": math.nan,  # of five dimensions
        "margin_mean": float(np.mean(of_class)),
        "margin_cv": float(np.std(of_class) / abs(np.mean(of_class))),
        "margin_negative": np.mean([np.mean([margins[i] < 0 for i in c]) for c in metrics.members(coarse).values()]),
        "feature_norm": float(norms.mean()),
        "feature_norm_cv": float(norms.std() / norms.mean()),
    }
    shares = metrics.variance_split(h, fine, coarse)
    found |= dict(zip(("variance_coarse", "variance_fine", "variance_within"), shares, strict=True))
    for level, labels, linear in (("coarse", coarse, head), ("fine", fine, probe)):
        found[f"alignment_{level}"] = metrics.alignment(h, labels)
        found[f"nc1_{level}"] = metrics.nc1(h, labels)
        found[f"nc2_equinorm_{level}"], found[f"nc2_equiangular_{level}"] = metrics.nc2(h, labels)
        found[f"nc3_{level}"] = metrics.nc3(h, labels, linear[0])
        found[f"nc4_{level}"] = metrics.nc4(h, labels, *linear)
        found[f"cdnv_{level}"] = metrics.cdnv(h, labels)
    return found


# All at once


def test_every_metric_equals_its_reference(clouds, head, probe) -> None:
    expected = by_reference(clouds.features, clouds.fine, clouds.coarse, head, probe)
    measured = measure(clouds.features, clouds.fine, TO_COARSE, head, probe)
    assert list(measured) == [name for name, metric in METRICS.items() if metric.family == "collapse"]
    assert measured == pytest.approx(expected, **CLOSE)


def test_every_metric_is_in_its_range(clouds, head, probe) -> None:
    for name, value in measure(clouds.features, clouds.fine, TO_COARSE, head, probe).items():
        assert math.isnan(value) or METRICS[name].low <= value <= METRICS[name].high, name


def test_without_classifiers_theirs_are_undefined(clouds, head, probe) -> None:
    whole = measure(clouds.features, clouds.fine, TO_COARSE, head, probe)
    without = measure(clouds.features, clouds.fine, TO_COARSE)
    theirs = {name for name, value in without.items() if math.isnan(value)} - {"spectrum_decay"}
    assert theirs == {name for name in whole if name.startswith(("nc3", "nc4", "margin"))}
    assert {name: value for name, value in whole.items() if name not in theirs} == pytest.approx(
        {name: value for name, value in without.items() if name not in theirs}, nan_ok=True
    )


@pytest.mark.parametrize("chunk", [1, 5, 26])
def test_chunks_change_nothing(chunk: int, clouds, head, probe, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(clouds.features, clouds.fine, TO_COARSE, head, probe)
    monkeypatch.setattr("benchmark.collapse.moments.CHUNK", chunk)
    monkeypatch.setattr("benchmark.collapse.alignment.BLOCK", chunk)
    assert measure(clouds.features, clouds.fine, TO_COARSE, head, probe) == pytest.approx(whole, rel=1e-9, nan_ok=True)


def test_the_order_of_images_changes_nothing(clouds, head, probe, shuffle: Tensor) -> None:
    moved = measure(clouds.features[shuffle], clouds.fine[shuffle], TO_COARSE, head, probe)
    expected = measure(clouds.features, clouds.fine, TO_COARSE, head, probe)
    assert moved == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_a_common_rotation_of_features_and_classifiers_changes_nothing(clouds, head, probe, rotation: Tensor) -> None:
    turned = [(weight.double() @ rotation, bias) for weight, bias in (head, probe)]
    moved = measure(clouds.features @ rotation, clouds.fine, TO_COARSE, *turned)
    expected = measure(clouds.features, clouds.fine, TO_COARSE, head, probe)
    assert moved == pytest.approx(expected, rel=1e-8, nan_ok=True)


def test_scale_changes_lengths_and_margins_only(clouds, head, probe) -> None:
    smaller = [(weight / 4, bias) for weight, bias in (head, probe)]  # of features 4 times as long: the same logits
    expected = measure(clouds.features, clouds.fine, TO_COARSE, head, probe)
    expected |= {name: 4 * expected[name] for name in ("feature_norm", "margin_mean")}
    measured = measure(4 * clouds.features, clouds.fine, TO_COARSE, *smaller)
    assert measured == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_collapsed_features_are_told() -> None:
    # coarse classes are the vertices of a simplex, whatever the fine class; the head is the simplex too
    vertices = torch.eye(3, dtype=torch.float64) - 1 / 3
    fine = torch.arange(6).repeat(4)
    found = measure(
        vertices[TO_COARSE.new_tensor([0, 0, 1, 1, 2, 2])[fine]], fine, torch.arange(6) // 2, (vertices, torch.zeros(3))
    )
    zero = ("alignment_coarse", "alignment_fine", "alignment_between", "nc1_coarse", "nc2_equinorm_coarse")
    zero += ("nc2_equiangular_coarse", "nc3_coarse", "nc4_coarse", "cdnv_coarse", "variance_fine", "variance_within")
    assert {name: found[name] for name in zero} == pytest.approx(dict.fromkeys(zero, 0), abs=1e-12)
    assert found["variance_coarse"] == pytest.approx(1)
    assert found["class_separation_r2"] == pytest.approx(1)
    assert found["effective_rank"] == pytest.approx(2)
    assert found["participation_ratio"] == pytest.approx(2)
    assert math.isnan(found["subclass_separability"])
    assert math.isnan(found["cdnv_fine"])  # fine classes of one superclass are the same point


@pytest.mark.parametrize("shape", [(4, 9), (4, 1), (1, 3), (1, 1)])
def test_few_images_and_dimensions_give_numbers_or_nan(shape: tuple[int, int], rng: torch.Generator) -> None:
    features, fine = torch.randn(shape, generator=rng), torch.arange(shape[0])
    found = measure(features, fine, torch.tensor([0, 0, 1, 1]))
    assert found["feature_norm"] == pytest.approx(float(features.norm(dim=1).mean()), rel=1e-6)
    assert math.isnan(found["alignment_fine"])  # classes of one image
    assert (found["nc1_fine"] == pytest.approx(0, abs=1e-20)) == (shape[0] > 1)
    for name, value in found.items():
        assert math.isnan(value) or METRICS[name].low - 1e-12 <= value <= METRICS[name].high + 1e-12, name


def test_constant_features_are_of_one_direction_and_undefined_otherwise() -> None:
    found = measure(torch.full((8, 3), 0.1), torch.arange(8) % 4, torch.tensor([0, 0, 1, 1]))
    defined = {name: value for name, value in found.items() if not math.isnan(value)}
    zero = ("alignment_coarse", "alignment_fine", "alignment_between", "uniformity", "feature_norm_cv")
    expected = dict.fromkeys(zero, 0.0) | {"rankme": 1.0, "feature_norm": 0.1 * math.sqrt(3)}
    assert defined == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("call", [measure, measure_fine, by_superclass])
@pytest.mark.parametrize(
    ("value", "message"), [(math.nan, "NaN or infinity"), (math.inf, "NaN or infinity"), (0, "zero")]
)
def test_broken_features_are_refused(call, value: float, message: str) -> None:
    features = torch.ones(6, 3)
    features[2] = value
    with pytest.raises(ValueError, match=message):
        call(features, torch.arange(6), TO_COARSE)


def test_a_classifier_of_other_classes_is_refused(clouds, head, probe) -> None:
    with pytest.raises(ValueError, match="expected a head of 3 rows"):
        measure(clouds.features, clouds.fine, TO_COARSE, (head[0][:2], head[1][:2]))
    with pytest.raises(ValueError, match="expected a probe of 6 rows"):
        measure(clouds.features, clouds.fine, TO_COARSE, None, head)


def test_inputs_stay_as_they_were_and_may_lie_in_a_read_only_file(clouds, head, probe, tmp_path: Path) -> None:
    clouds.features.float().numpy().tofile(tmp_path / "features")
    stored = torch.from_numpy(np.memmap(tmp_path / "features", np.float32, "c", shape=(26, 5)))
    measured = measure(stored, clouds.fine, TO_COARSE, head, probe)
    assert torch.equal(stored, clouds.features.float())
    assert measured == pytest.approx(
        measure(clouds.features, clouds.fine, TO_COARSE, head, probe), rel=1e-4, nan_ok=True
    )


def test_fine_metrics_alone_are_the_same(clouds, probe) -> None:
    whole = measure(clouds.features, clouds.fine, TO_COARSE, None, probe)
    fine = measure_fine(clouds.features, clouds.fine, TO_COARSE, probe)
    assert fine == {name: whole[name] for name in fine}
    assert set(fine) == {name for name in whole if METRICS[name].level == "fine"}


# By superclass


def test_of_a_superclass_is_of_its_images_alone(clouds, head, probe) -> None:
    found = by_superclass(clouds.features, clouds.fine, TO_COARSE, head, probe)
    assert {label for _, label in found} == {0, 1, 2}
    for (name, label), value in found.items():
        if not name.startswith("nc4"):
            inside = clouds.coarse == label
            alone = measure(clouds.features[inside], clouds.fine[inside], TO_COARSE, head, probe)
            assert value == pytest.approx(alone[name], rel=1e-9, nan_ok=True), name
    needed = {"subclass_separability", "alignment_coarse", "alignment_fine", "alignment_between"}
    needed |= {"margin_mean", "margin_negative", "feature_norm"}
    assert needed <= {name for name, _ in found}


def test_means_over_superclasses_are_the_whole(clouds, head, probe) -> None:
    found = by_superclass(clouds.features, clouds.fine, TO_COARSE, head, probe)
    whole = measure(clouds.features, clouds.fine, TO_COARSE, head, probe)
    for name in ("alignment_coarse", "alignment_between", "margin_mean", "margin_negative"):
        values = [found[name, label] for label in range(3)]
        assert np.nanmean(values) == pytest.approx(whole[name], rel=1e-9)
    for name in ("nc4_coarse", "nc4_fine", "feature_norm"):
        values = [found[name, label] * int((clouds.coarse == label).sum()) for label in range(3)]
        assert sum(values) / 26 == pytest.approx(whole[name], rel=1e-9)


def test_a_superclass_of_one_fine_class_has_no_subclass_structure(clouds) -> None:
    found = by_superclass(clouds.features, clouds.fine, TO_COARSE)
    assert math.isnan(found["subclass_separability", 2])
    assert math.isnan(found["alignment_between", 2])
    assert not [name for name, _ in found if name.startswith(("margin", "nc4"))]


# Shuffled fine labels


def test_shuffling_keeps_coarse_labels_and_sizes_and_nothing_else(rng: torch.Generator) -> None:
    fine = torch.randint(6, (600,), generator=rng)
    drawn = shuffled(fine, TO_COARSE, rng)
    assert torch.equal(TO_COARSE[drawn], TO_COARSE[fine])
    assert torch.equal(drawn.bincount(), fine.bincount())
    agree = (drawn == fine).double()
    for coarse, classes in enumerate((2, 3, 1)):  # of a superclass of k equal fine classes 1/k stay by chance
        assert float(agree[TO_COARSE[fine] == coarse].mean()) == pytest.approx(1 / classes, abs=0.12)


def test_shuffles_are_those_of_the_generator() -> None:
    fine = torch.arange(60) % 6
    first, again, other = (shuffled(fine, TO_COARSE, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_order_of_a_superclass_is_equally_likely(rng: torch.Generator) -> None:
    fine = torch.tensor([0, 5, 1, 2, 0])
    drawn = torch.stack([shuffled(fine, TO_COARSE, rng) for _ in range(900)])
    orders, counts = drawn.unique(dim=0, return_counts=True)
    assert {tuple(order.tolist()) for order in orders} == {(0, 5, 1, 2, 0), (1, 5, 0, 2, 0), (0, 5, 0, 2, 1)}
    assert counts.min() > 240  # 300 expected, standard deviation 14


# Resamples


@pytest.fixture
def weights(clouds, rng: torch.Generator) -> Tensor:
    """Three resamples of 26 images, each fine class drawn to its own size."""
    drawn = torch.zeros(3, 26, dtype=torch.int16)
    for row, label in itertools.product(range(3), range(6)):
        members = (clouds.fine == label).nonzero().squeeze(1)
        picks = members[torch.randint(len(members), (len(members),), generator=rng)]
        drawn[row] += picks.bincount(minlength=26).to(torch.int16)
    return drawn


def test_resamples_equal_measuring_repeated_images(clouds, head, probe, weights: Tensor) -> None:
    found = resampled(clouds.features, clouds.fine, TO_COARSE, weights, head, probe)
    for b, counts in enumerate(weights.long()):
        rows = torch.arange(26).repeat_interleave(counts)
        expected = measure(clouds.features[rows], clouds.fine[rows], TO_COARSE, head, probe)
        kept = {name: float(values[b]) for name, values in found.items() if name not in PAIRS}
        assert kept == pytest.approx({name: expected[name] for name in kept}, **CLOSE)
        assert set(kept) == set(expected) - set(SPECTRUM) - set(PAIRS)


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_resampled_alignment_leaves_out_pairs_of_copies(level: str, clouds, weights: Tensor) -> None:
    found = resampled(clouds.features, clouds.fine, TO_COARSE, weights)[f"alignment_{level}"]
    u = metrics.unit(clouds.features)
    for value, counts in zip(found.tolist(), weights.tolist(), strict=True):
        of_class = []
        for positions in metrics.members(getattr(clouds, level)).values():
            pairs = [(i, j) for i, j in itertools.permutations(positions, 2) if counts[i] * counts[j]]
            if pairs:
                total = sum(counts[i] * counts[j] * sum((u[i] - u[j]) ** 2) for i, j in pairs)
                of_class.append(total / sum(counts[i] * counts[j] for i, j in pairs))
        assert value == pytest.approx(np.mean(of_class), rel=1e-10)


def test_the_bootstrap_is_around_the_value(clouds, head, probe, rng: torch.Generator) -> None:
    weights = torch.randint(1, 4, (41, 26), generator=rng)
    values = measure(clouds.features, clouds.fine, TO_COARSE, head, probe)
    raw = resampled(clouds.features, clouds.fine, TO_COARSE, weights, head, probe)
    drawn = bootstrap(clouds.features, clouds.fine, TO_COARSE, weights, head, probe)
    assert list(drawn) == [name for name in values if name not in SPECTRUM]
    for name, replicates in drawn.items():
        assert float(replicates.median()) == pytest.approx(values[name], rel=1e-9, abs=1e-12)
        if METRICS[name].low == 0:  # and so a ratio, a length or a share
            expected = raw[name] * values[name] / raw[name].median()
        else:
            expected = raw[name] + values[name] - raw[name].median()
        torch.testing.assert_close(replicates, expected.clamp(max=METRICS[name].high), rtol=1e-9, atol=1e-12)


def test_resamples_of_a_share_of_zero_may_be_more() -> None:
    # means 2 and 8.53, border 5.27; the classifier's border is 5.5, with no image between
    features, fine = torch.tensor([[1.0], [3.0], [5.6], [8.0], [12.0]]), torch.tensor([0, 0, 1, 1, 1])
    head = (torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, -5.5]))
    assert measure(features, fine, torch.tensor([0, 1]), head)["nc4_coarse"] == 0
    weights = torch.tensor([[1, 1, 1, 0, 2], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    drawn = bootstrap(features, fine, torch.tensor([0, 1]), weights, head)
    # 5.6, 12, 12: mean 9.87, border 5.93, and 5.6 is nearer to 2: one image of five
    assert drawn["nc4_coarse"].tolist() == [1 / 5, 0, 0]


def test_batches_of_resamples_change_nothing(clouds, head, probe, weights, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap(clouds.features, clouds.fine, TO_COARSE, weights, head, probe)
    monkeypatch.setattr(module, "REPLICATE_BYTES", 1)
    monkeypatch.setattr("benchmark.collapse.resampler.BLOCK", 3)
    monkeypatch.setattr("benchmark.collapse.moments.CHUNK", 4)
    parts = bootstrap(clouds.features, clouds.fine, TO_COARSE, weights, head, probe)
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, rtol=1e-9, atol=1e-12, equal_nan=True)


def test_without_classifiers_theirs_are_left_out_of_resamples(clouds, weights) -> None:
    drawn = bootstrap(clouds.features, clouds.fine, TO_COARSE, weights)
    assert not [name for name in drawn if name.startswith(("nc3", "nc4", "margin"))]


def test_undefined_stays_undefined_in_resamples(clouds, weights) -> None:
    drawn = bootstrap(clouds.features, clouds.fine, torch.arange(6), weights)
    assert drawn["subclass_separability"].isnan().all()


def test_weights_must_fit(clouds, weights) -> None:
    with pytest.raises(ValueError, match=r"expected weights \(B, 26\)"):
        bootstrap(clouds.features, clouds.fine, TO_COARSE, weights[:, :25])
    weights[1, clouds.fine == 4] = 0
    with pytest.raises(ValueError, match="at least one image of each fine class"):
        bootstrap(clouds.features, clouds.fine, TO_COARSE, weights)


def test_resamples_vary_as_other_sets_of_images_do() -> None:
    rng = torch.Generator().manual_seed(11)
    fine, to_coarse = torch.arange(240) % 8, torch.arange(8) // 2
    centres = torch.randn(8, 20, generator=rng)

    def images() -> Tensor:
        return 2 + centres[fine] + torch.randn(240, 20, generator=rng)

    sets = [measure(images(), fine, to_coarse) for _ in range(120)]
    picks = torch.stack([torch.randint(30, (120, 30), generator=rng) * 8 + label for label in range(8)], dim=1)
    weights = torch.nn.functional.one_hot(picks.flatten(1), 240).sum(dim=1)
    drawn = [bootstrap(images(), fine, to_coarse, weights) for _ in range(4)]
    names = ("alignment_coarse", "alignment_between", "uniformity", "nc1_fine", "subclass_separability", "cdnv_fine")
    for name in names:
        between = np.std([one[name] for one in sets])
        within = np.mean([float(one[name].std()) for one in drawn])
        # a deviation of 120 draws is known to 6 %; the rest is how much 4 sets of images differ
        assert within == pytest.approx(between, rel=0.3), name
