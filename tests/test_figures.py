import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from reference import read_outs
from torch import Tensor

from benchmark import figures, resampling
from benchmark.metrics import METRICS, WORST, Figure, Predictions
from benchmark.schema import Task

FINE_TO_COARSE = [0, 0, 1, 1, 1, 2, 2]  # of the toy task
FINE = torch.arange(7).repeat_interleave(torch.tensor([4, 6, 2, 5, 3, 1, 5]))  # class 5 has one test image
COARSE = torch.tensor(FINE_TO_COARSE)[FINE]
NAMES = ["long", "short", "steep"]
READ_OUTS = [name for name, metric in METRICS.items() if metric.family in ("head", "read-out")]
Images = list[int]  # positions, repeated in a resample


@pytest.fixture
def predictions(rng: torch.Generator) -> Predictions:
    def answers(num_classes: int, true: Tensor) -> Tensor:
        guess = torch.randint(num_classes, true.shape, generator=rng)
        return torch.where(torch.rand(true.shape, generator=rng) < 0.5, true, guess)

    precision = torch.rand(26, generator=rng)
    hits = torch.randint(1, 14, (26,), generator=rng)
    asked = torch.randint(1, 30, (40, 3), generator=rng)
    within = asked * torch.nn.functional.one_hot(torch.arange(40) % 2 * 2, 3)  # none of superclass 1

    def answered(asked: Tensor) -> Tensor:
        return torch.stack([(asked * torch.rand(40, 3, generator=rng)).long(), asked], dim=2)

    return Predictions(
        fine=FINE,
        shots=torch.tensor([150, 101, 100, 20, 19, 5, 1]),
        coarse_logits=2 * torch.randn(26, 3, generator=rng) + 2 * torch.eye(3)[COARSE],
        source=None,
        linear=answers(7, FINE),
        linear_within=answers(7, FINE),
        knn=answers(7, FINE),
        ncm=answers(7, FINE),
        first_hit=torch.where(FINE == 5, 0, hits),
        average_precision=torch.where(FINE == 5, math.nan, precision),
        episodes={
            "5way_1shot": answered(asked),
            "intra_1shot": answered(within),
            "allway_5shot": torch.zeros(0, 3, 2, dtype=torch.int64),
        },
        clusters=answers(3, FINE % 3),
    )


def indexed(found: list[Figure]) -> dict[tuple[str, str], Figure]:
    lines = {(figure.metric, figure.superclass): figure for figure in found}
    assert len(lines) == len(found)
    return lines


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits) if hits else math.nan


def scorers(p: Predictions) -> dict[str, Callable[[Images], float]]:
    """Scores of some images by plain loops."""
    fine, coarse = p.fine.tolist(), COARSE.tolist()
    exps = [[math.exp(z) for z in row] for row in p.coarse_logits.tolist()]
    confidence = [max(row) / sum(row) for row in exps]
    right = [row.index(max(row)) == label for row, label in zip(exps, coarse, strict=True)]
    hits, precision = p.first_hit.tolist(), p.average_precision.tolist()

    def accuracy(predicted: Tensor) -> Callable[[Images], float]:
        answers = predicted.tolist()
        return lambda images: share([answers[i] == fine[i] for i in images])

    def recall(k: int) -> Callable[[Images], float]:
        return lambda images: share([1 <= hits[i] <= k for i in images if fine[i] != 5])

    def error(images: Images) -> float:
        return read_outs.calibration_error([confidence[i] for i in images], [right[i] for i in images], 15)

    return {
        "coarse_acc": lambda images: share([right[i] for i in images]),
        "coarse_confidence": lambda images: sum(confidence[i] for i in images) / len(images),
        "coarse_ece": error,
        "fine_linear_acc": accuracy(p.linear),
        "fine_linear_within_acc": accuracy(p.linear_within),
        "fine_knn_acc": accuracy(p.knn),
        "fine_ncm_acc": accuracy(p.ncm),
        **{f"fine_recall_at_{k}": recall(k) for k in (1, 2, 5, 10)},
        "fine_map_at_r": lambda images: float(np.mean([precision[i] for i in images if fine[i] != 5])),
    }


def test_every_metric_has_one_figure_of_all_images_in_order(predictions: Predictions, toy_task: Task) -> None:
    found = figures.of(predictions, toy_task)
    assert [figure.metric for figure in found if not figure.superclass] == READ_OUTS
    assert {figure.superclass for figure in found} == {"", WORST, *NAMES}
    assert {(figure.split, figure.layer) for figure in found} == {("test", "")}
    for figure in found:
        metric = METRICS[figure.metric]
        assert math.isnan(figure.value) or metric.low <= figure.value <= metric.high


def test_scores_of_images_equal_plain_loops(predictions: Predictions, toy_task: Task) -> None:
    found = indexed(figures.of(predictions, toy_task))
    for metric, score in scorers(predictions).items():
        of_class = [score([i for i in range(26) if COARSE[i] == label]) for label in range(3)]
        assert found[metric, ""].value == pytest.approx(score(list(range(26))), abs=1e-7)
        assert [found[metric, name].value for name in NAMES] == pytest.approx(of_class, abs=1e-7)
        if metric in ("coarse_ece", "coarse_confidence"):  # where the lowest is not the worst
            assert (metric, WORST) not in found
        else:
            assert found[metric, WORST].value == pytest.approx(min(of_class), abs=1e-7)


def test_intervals_are_percentiles_over_repeated_images(
    predictions: Predictions, toy_task: Task, rng: torch.Generator
) -> None:
    weights = resampling.weights(FINE, 81, rng)  # 2.5 % of 80 steps: the third from either end
    found = indexed(figures.of(predictions, toy_task, weights))
    resamples = [[i for i in range(26) for _ in range(row[i])] for row in weights.tolist()]
    for metric, score in scorers(predictions).items():
        every = [[score([i for i in s if COARSE[i] == label]) for s in resamples] for label in range(3)]
        expected = {"": [score(s) for s in resamples], **dict(zip(NAMES, every, strict=True))}
        if (metric, WORST) in found:
            expected[WORST] = [min(lowest) for lowest in zip(*every, strict=True)]
        for name, values in expected.items():
            figure, values = found[metric, name], sorted(values)
            assert (figure.low, figure.high) == pytest.approx((values[2], values[-3]), abs=1e-7)


def test_without_weights_there_are_no_intervals_of_images(predictions: Predictions, toy_task: Task) -> None:
    found = indexed(figures.of(predictions, toy_task))
    for metric in scorers(predictions):
        assert math.isnan(found[metric, ""].low)
        assert math.isnan(found[metric, ""].high)


def test_columns_of_a_worst_class_are_the_worst_figures(
    predictions: Predictions, toy_task: Task, rng: torch.Generator
) -> None:
    found = indexed(figures.of(predictions, toy_task, resampling.weights(FINE, 20, rng)))
    for column, metric in (("worst_class_acc", "coarse_acc"), ("fine_linear_worst_acc", "fine_linear_acc")):
        as_worst = dataclasses.replace(found[column, ""], metric=metric, superclass=WORST)
        assert str(as_worst) == str(found[metric, WORST])  # text, for NaN equals NaN there


def test_few_shot_intervals_are_standard_errors_over_episodes(predictions: Predictions, toy_task: Task) -> None:
    found = indexed(figures.of(predictions, toy_task))
    several, intra = (predictions.episodes[name].double().numpy() for name in ("5way_1shot", "intra_1shot"))

    def expected(values: np.ndarray) -> tuple[float, float, float]:
        half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
        return values.mean(), values.mean() - half, values.mean() + half

    def line(metric: str, name: str) -> tuple[float, float, float]:
        figure = found[metric, name]
        return figure.value, figure.low, figure.high

    for metric, counts in (("fine_5way_1shot_acc", several), ("fine_intra_1shot_acc", intra)):
        assert line(metric, "") == pytest.approx(expected(counts[..., 0].sum(axis=1) / counts[..., 1].sum(axis=1)))
    of_class = [expected(several[:, i, 0] / several[:, i, 1]) for i in range(3)]
    assert [line("fine_5way_1shot_acc", name) for name in NAMES] == [pytest.approx(values) for values in of_class]
    assert line("fine_5way_1shot_acc", WORST) == pytest.approx(min(of_class))
    for name, own in ((NAMES[0], intra[::2, 0]), (NAMES[2], intra[1::2, 2])):
        assert line("fine_intra_1shot_acc", name) == pytest.approx(expected(own[:, 0] / own[:, 1]))
    assert ("fine_intra_1shot_acc", NAMES[1]) not in found  # no episodes
    assert all(math.isnan(value) for value in line("fine_allway_5shot_acc", ""))
    assert all(math.isnan(value) for value in line("fine_intra_5shot_acc", ""))


def test_one_episode_has_no_interval(predictions: Predictions, toy_task: Task) -> None:
    one = dataclasses.replace(predictions, episodes={"5way_1shot": torch.tensor([[[1, 2], [0, 2], [0, 0]]])})
    figure = indexed(figures.of(one, toy_task))["fine_5way_1shot_acc", ""]
    assert figure.value == 0.25
    assert math.isnan(figure.low)


def test_clusters_are_compared_inside_superclasses(predictions: Predictions, toy_task: Task) -> None:
    found = indexed(figures.of(predictions, toy_task))
    expected = []
    for label in range(3):
        inside = COARSE == label
        expected.append(read_outs.matched_accuracy(predictions.clusters[inside].tolist(), FINE[inside].tolist()))
    assert [found["fine_cluster_acc", name].value for name in NAMES] == pytest.approx(expected)
    assert found["fine_cluster_acc", ""].value == pytest.approx(sum(expected) / 3)
    assert found["fine_cluster_acc", WORST].value == pytest.approx(min(expected))
    steep = COARSE == 2  # six images: all 720 orders
    ami = read_outs.adjusted_mutual_information(predictions.clusters[steep].tolist(), FINE[steep].tolist())
    assert found["fine_cluster_ami", "steep"].value == pytest.approx(ami, abs=1e-9)


def test_a_superclass_without_test_images_is_left_out(predictions: Predictions, toy_task: Task) -> None:
    kept = COARSE != 1
    values = {f.name: getattr(predictions, f.name) for f in dataclasses.fields(predictions)}
    images = {k: v[kept] for k, v in values.items() if isinstance(v, Tensor) and len(v) == 26}
    part = dataclasses.replace(predictions, **images, episodes={})
    found = indexed(figures.of(part, toy_task, torch.ones(3, int(kept.sum()), dtype=torch.int16)))
    whole = indexed(figures.of(predictions, toy_task))
    assert not [key for key in found if key[1] == "short"]
    for metric in ("fine_knn_acc", "coarse_acc", "fine_cluster_acc"):
        both = [whole[metric, name].value for name in ("long", "steep")]
        assert [found[metric, name].value for name in ("long", "steep")] == both
        assert found[metric, WORST].value == min(both)
    assert found["fine_knn_acc", WORST].high == found["fine_knn_acc", WORST].value  # the same images each time


def test_without_a_head_its_scores_are_undefined(predictions: Predictions, toy_task: Task) -> None:
    headless = figures.of(dataclasses.replace(predictions, coarse_logits=None), toy_task)
    of_head = [figure for figure in headless if METRICS[figure.metric].family == "head"]
    assert {figure.superclass for figure in of_head} == {""}
    assert all(math.isnan(figure.value) for figure in of_head)
    rest = [figure for figure in figures.of(predictions, toy_task) if METRICS[figure.metric].family == "read-out"]
    assert str([figure for figure in headless if figure not in of_head]) == str(rest)


def test_a_fine_tuned_network_is_measured_like_a_probe(
    predictions: Predictions, toy_task: Task, rng: torch.Generator
) -> None:
    assert math.isnan(indexed(figures.of(predictions, toy_task))["fine_tuned_acc", ""].value)
    tuned = dataclasses.replace(predictions, tuned=predictions.knn)
    found = indexed(figures.of(tuned, toy_task, resampling.weights(FINE, 20, rng)))
    for name in ("", WORST, *NAMES):
        as_knn = dataclasses.replace(found["fine_tuned_acc", name], metric="fine_knn_acc")
        assert str(as_knn) == str(found["fine_knn_acc", name])  # text, for NaN equals NaN there


def test_seen_subclasses_of_a_shift_are_the_heads_alone(predictions: Predictions, toy_task: Task) -> None:
    source = torch.tensor([[0, 0], [0, 1], [0, 0], [0, 0], [2, 2], [2, 0]])
    found = indexed(figures.of(dataclasses.replace(predictions, source=source), toy_task))
    assert found["source_coarse_acc", ""].value == pytest.approx(4 / 6)
    assert found["source_coarse_acc", "long"].value == 0.75
    assert found["source_coarse_acc", "steep"].value == found["source_coarse_acc", WORST].value == 0.5
    assert ("source_coarse_acc", "short") not in found


def test_long_tailed_scores_are_of_the_head_in_groups_of_shots(
    predictions: Predictions, toy_task: Task, rng: torch.Generator
) -> None:
    tree = dataclasses.replace(toy_task.hierarchy, long_tail=150.0)
    task = dataclasses.replace(toy_task, kind="long-tailed", coarse_level="fine", hierarchy=tree)
    logits = torch.randn(26, 7, generator=rng) + 2 * torch.eye(7)[FINE]
    made = dataclasses.replace(predictions, coarse_logits=logits, episodes={}, clusters=torch.zeros_like(FINE))
    weights = resampling.weights(FINE, 81, rng)
    found = indexed(figures.of(made, task, weights))
    right = [row.index(max(row)) == label for row, label in zip(logits.tolist(), FINE.tolist(), strict=True)]
    groups = {"many_acc": (0, 1), "medium_acc": (2, 3), "few_acc": (4, 5, 6)}  # 150, 101 | 100, 20 | 19, 5, 1 images
    for name, classes in groups.items():
        inside = [i for i in range(26) if FINE[i] in classes]
        assert found[name, ""].value == pytest.approx(share([right[i] for i in inside]))
        drawn = sorted(sum(row[i] * right[i] for i in inside) / sum(row[i] for i in inside) for row in weights.tolist())
        assert (found[name, ""].low, found[name, ""].high) == pytest.approx((drawn[2], drawn[-3]))
        assert (name, WORST) not in found
    assert found["coarse_acc", "short_b"].value == pytest.approx(share([right[i] for i in range(26) if FINE[i] == 3]))
    for undefined in ("fine_linear_within_acc", "fine_cluster_ami", "fine_cluster_acc"):  # one fine class in each
        assert math.isnan(found[undefined, ""].value)
        assert [key for key in found if key[0] == undefined and key[1] not in ("", WORST)] == []


def test_nothing_is_grouped_by_shots_elsewhere(predictions: Predictions, toy_task: Task) -> None:
    found = indexed(figures.of(predictions, toy_task))
    for name in ("many_acc", "medium_acc", "few_acc", "source_coarse_acc"):
        assert math.isnan(found[name, ""].value)


def test_a_shift_names_the_superclasses_of_what_is_evaluated(predictions: Predictions, toy_task: Task) -> None:
    # evaluated are the last classes of each superclass, renumbered 0, 1, 2: one fine class in each
    tree = dataclasses.replace(toy_task.hierarchy, target=("long_b", "short_c", "steep_b"))
    task = dataclasses.replace(toy_task, kind="subpopulation-shift", hierarchy=tree)
    made = dataclasses.replace(predictions, fine=COARSE, linear=COARSE.clone(), shots=torch.tensor([9, 9, 9]))
    found = indexed(figures.of(made, task))
    assert [found["fine_linear_acc", name].value for name in ("", *NAMES)] == [1, 1, 1, 1]
    right = (made.coarse_logits.argmax(dim=1) == COARSE).double()
    assert found["coarse_acc", "steep"].value == pytest.approx(float(right[COARSE == 2].mean()))
