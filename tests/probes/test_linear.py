import numpy as np
import pytest
import torch
from reference import metrics
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from benchmark.probes import linear

Pair = tuple[Tensor, Tensor]


def clouds(rng: torch.Generator, sizes: tuple[int, ...], spread: float = 1.0) -> Pair:
    """Overlapping unbalanced clouds in four dimensions of very different scale and offset."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    features = torch.eye(len(sizes), 4)[labels] * 1.5 + spread * torch.randn(len(labels), 4, generator=rng)
    return features * torch.tensor([1.0, 100.0, 0.01, 3.0]) + torch.tensor([0.0, 500.0, 0.05, -1.0]), labels


@pytest.fixture
def train(rng: torch.Generator) -> Pair:
    return clouds(rng, (12, 30, 20))


@pytest.fixture
def val(rng: torch.Generator) -> Pair:
    return clouds(rng, (5, 9, 7))


def standardised(train: Tensor, *others: Tensor) -> np.ndarray:
    """All parts below each other, by the mean and population deviation of train, with a last column of ones."""
    x, fitted = torch.cat([train, *others]).double().numpy(), train.double().numpy()
    return np.column_stack([(x - fitted.mean(axis=0)) / fitted.std(axis=0), np.ones(len(x))])


def by_sklearn(x: np.ndarray, labels: Tensor, l2: float) -> np.ndarray:
    """Coefficients of the same problem, bias last and centred: a common shift of the biases is free."""
    model = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-10, max_iter=20_000)
    model.fit(x[:, :-1], labels.numpy())
    return np.column_stack([model.coef_, model.intercept_ - model.intercept_.mean()])


@pytest.mark.parametrize("l2", linear.GRID)
def test_optimum_equals_that_of_sklearn(l2: float, train: Pair) -> None:
    x = standardised(train[0])
    start = torch.zeros(3, 5, dtype=torch.float64)
    found = linear.solve(torch.from_numpy(x).float(), train[1], l2, start, tolerance=1e-8).numpy()
    expected = by_sklearn(x, train[1], l2)
    loss, gradient = metrics.probe_objective(found, x, train[1], l2)
    # the optimum is flat: gradients of 1e-8 over a curvature of at least 1e-5; features rounded to float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    assert loss == pytest.approx(metrics.probe_objective(expected, x, train[1], l2)[0], abs=1e-6)
    assert np.abs(gradient).max() < 1e-6


def test_one_dimension_by_hand() -> None:
    # x = ±1 with labels 0 and 1, no bias by symmetry, W = (w, -w): mean loss log(1 + exp(-2w)), penalty l2 w²
    # stationary: w = s / l2 with s = 1 / (1 + exp(2w)); w = 1/2 needs l2 = 2 / (1 + e)
    x = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    start = torch.zeros(2, 2, dtype=torch.float64)
    found = linear.solve(x, torch.tensor([0, 1]), 2 / (1 + np.e), start, tolerance=1e-10)
    expected = torch.tensor([[0.5, 0.0], [-0.5, 0.0]], dtype=torch.float64)
    # the gradient that is held against 1e-10 was computed in float32: off by some 1e-8, over a curvature near 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_without_information_the_biases_are_log_frequencies() -> None:
    x = torch.tensor([[0.0, 1.0]]).repeat(8, 1)
    labels = torch.tensor([0, 1, 1, 1, 1, 2, 2, 2])
    found = linear.solve(x, labels, 0.1, torch.zeros(3, 2, dtype=torch.float64), tolerance=1e-9)
    frequencies = torch.tensor([1, 4, 3], dtype=torch.float64) / 8
    torch.testing.assert_close(found[:, 1].softmax(dim=0), frequencies, rtol=0, atol=1e-6)  # as above
    assert found[:, 0].tolist() == [0, 0, 0]  # a dimension of zeros has no gradient


def test_fit_is_refitted_on_train_and_val(train: Pair, val: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "GRID", (1e-2,))
    probe = linear.fit(train, val)
    expected = by_sklearn(standardised(train[0], val[0]), torch.cat([train[1], val[1]]), 1e-2)
    # gradient 1e-4 over a curvature of at least 1e-2: 1e-2 in the coefficients
    np.testing.assert_allclose(probe.coefficients.numpy(), expected, rtol=0, atol=1e-2)


def test_gradient_at_the_solution_is_within_the_tolerance(train: Pair, val: Pair) -> None:
    probe = linear.fit(train, val)
    labels = torch.cat([train[1], val[1]])
    _, gradient = metrics.probe_objective(probe.coefficients, standardised(train[0], val[0]), labels, probe.l2)
    assert np.abs(gradient).max() <= linear.TOLERANCE * 1.02  # products in float32 are off by some 1e-7


def test_logits_are_those_of_standardised_features(train: Pair, val: Pair) -> None:
    probe = linear.fit(train, val)
    both = torch.cat([train[0], val[0]])
    expected = torch.from_numpy(standardised(train[0], val[0])) @ probe.coefficients.T
    # float32 statistics of a dimension at 500 with deviation 100
    torch.testing.assert_close(probe.logits(both), expected, rtol=0, atol=1e-4)


def test_raw_features_give_the_same_logits(train: Pair, val: Pair) -> None:
    probe = linear.fit(train, val)
    weight, bias = probe.on_raw_features()
    assert (weight.shape, bias.shape) == ((3, 4), (3,))
    # probe.logits standardises in float32: a dimension at 500 with deviation 100
    torch.testing.assert_close(val[0].double() @ weight.T + bias, probe.logits(val[0]), rtol=0, atol=1e-4)


def test_chosen_l2_is_the_best_on_val(train: Pair, val: Pair) -> None:
    probe = linear.fit(train, val)
    x = train[0].double()
    x_val = ((val[0] - x.mean(dim=0)) / x.std(dim=0, correction=0)).numpy()
    accuracies = []
    for l2 in linear.GRID:
        predicted = (np.column_stack([x_val, np.ones(21)]) @ by_sklearn(standardised(x), train[1], l2).T).argmax(1)
        accuracies.append(np.mean(predicted == val[1].numpy()))
    assert probe.val_acc == pytest.approx(max(accuracies))
    assert probe.l2 == linear.GRID[int(np.argmax(accuracies))]


@pytest.mark.parametrize(("second", "l2"), [(1, 1e-3), (0, 10.0)])
def test_val_labels_choose_between_strong_and_weak(second: int, l2: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "GRID", (10.0, 1e-3))
    # 30 images of class 0 at -1, 10 of class 1 at 1: l2 = 10 leaves the biases only, so always class 0;
    # 1e-3 separates. A val image at 1 is right by the weak one if it is of class 1, by the strong one if of class 0
    labels = torch.arange(2).repeat_interleave(torch.tensor([30, 10]))
    train = 2.0 * labels[:, None] - 1, labels
    probe = linear.fit(train, (torch.tensor([[-1.0], [1.0]]), torch.tensor([0, second])))
    assert (probe.l2, probe.val_acc) == (l2, 1)


def test_the_larger_of_equal_l2_is_chosen(rng: torch.Generator) -> None:
    train, val = clouds(rng, (20, 20), spread=0.01), clouds(rng, (5, 5), spread=0.01)
    probe = linear.fit(train, val)
    assert probe.val_acc == 1  # every l2 separates such clouds
    assert probe.l2 == max(linear.GRID)


def test_the_grid_runs_from_strong_to_weak() -> None:
    assert list(linear.GRID) == sorted(linear.GRID, reverse=True)


def test_two_fits_are_bitwise_equal(train: Pair, val: Pair) -> None:
    first = linear.fit(train, val)
    torch.rand(3)  # whatever happens to the global generator
    second = linear.fit(train, val)
    assert torch.equal(first.coefficients, second.coefficients)
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.scale, second.scale)
    assert (first.l2, first.val_acc) == (second.l2, second.val_acc)


def test_fit_leaves_inputs_and_global_generators_alone(train: Pair, val: Pair) -> None:
    copies = [part.clone() for part in (*train, *val)]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    linear.fit(train, val)
    assert all(torch.equal(part, copy) for part, copy in zip((*train, *val), copies, strict=True))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_a_constant_dimension_changes_nothing(value: float, train: Pair, val: Pair) -> None:
    def wider(features: Tensor) -> Tensor:
        return torch.cat([features, torch.full((len(features), 1), value)], dim=1)

    probe, narrow = linear.fit((wider(train[0]), train[1]), (wider(val[0]), val[1])), linear.fit(train, val)
    assert probe.l2 == narrow.l2
    # gradient 1e-4 over a curvature of at least l2 in each of the two fits
    expected = narrow.logits(val[0])
    torch.testing.assert_close(probe.logits(wider(val[0])), expected, rtol=0.02, atol=0.02)


def test_scale_and_offset_of_a_dimension_change_nothing(train: Pair, val: Pair) -> None:
    factor, offset = torch.tensor([4.0, 0.25, 64.0, 1.0]), torch.tensor([8.0, 1.0, -2.0, 0.0])
    moved = linear.fit((train[0] * factor + offset, train[1]), (val[0] * factor + offset, val[1]))
    plain = linear.fit(train, val)
    assert (moved.l2, moved.val_acc) == (plain.l2, plain.val_acc)
    # powers of two scale exactly; the offsets round in float32
    torch.testing.assert_close(moved.logits(val[0] * factor + offset), plain.logits(val[0]), rtol=0.01, atol=0.01)


def test_labels_may_be_missing_from_val(train: Pair, val: Pair) -> None:
    kept = val[1] == 1
    probe = linear.fit(train, (val[0][kept], val[1][kept]))
    assert probe.coefficients.shape == (3, 5)


def test_stopping_short_is_an_error(train: Pair, val: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MAX_ITERATIONS", 1)
    with pytest.raises(ArithmeticError, match=r"l2 = 0\.1 stopped short of its tolerance"):
        linear.fit(train, val)
