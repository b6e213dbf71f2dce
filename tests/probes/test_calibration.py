import math

import pytest
import torch
from reference import read_outs

from benchmark.probes import calibration


def test_confidence_is_the_largest_probability() -> None:
    # odds 3 : 1, and even odds of three
    logits = torch.tensor([[math.log(3.0), 0.0, -math.inf], [2.0, 2.0, 2.0]])
    assert calibration.confidence(logits).tolist() == pytest.approx([0.75, 1 / 3], abs=1e-7)


def test_error_equals_the_reference(rng: torch.Generator) -> None:
    confidence = torch.rand(500, generator=rng, dtype=torch.float64).sqrt()
    right = torch.rand(500, generator=rng) < 0.6
    expected = read_outs.calibration_error(confidence.tolist(), right.tolist(), 15)
    assert calibration.expected_calibration_error(confidence, right) == pytest.approx(expected, abs=1e-12)


def test_error_by_hand() -> None:
    # bin (13/15, 14/15]: 0.9 three times, two of them right: 3/5 |2/3 - 0.9|; bin of 0.5: both wrong: 2/5 · 0.5
    confidence = torch.tensor([0.9, 0.5, 0.9, 0.5, 0.9], dtype=torch.float64)
    right = torch.tensor([True, False, False, False, True])
    assert calibration.expected_calibration_error(confidence, right) == pytest.approx(0.14 + 0.2, abs=1e-12)


def test_edges_belong_to_the_bin_below() -> None:
    # 1/15 and 0 fall in the first bin, 1 in the last
    gaps = calibration.gaps(torch.tensor([0, 1 / 15, 1 / 15 + 1e-9, 1], dtype=torch.float64), torch.ones(4))
    assert (gaps != 0).int().argmax(dim=1)[:3].tolist() == [0, 0, 1]
    assert gaps[3].tolist() == [0] * 15  # right and certain: no gap in any bin
    certain = calibration.gaps(torch.ones(1), torch.zeros(1))
    assert certain[0].tolist() == [0] * 14 + [-1]


def test_extremes() -> None:
    ones, right = torch.ones(8), torch.ones(8, dtype=torch.bool)
    assert calibration.expected_calibration_error(ones, right) == 0
    assert calibration.expected_calibration_error(ones, ~right) == 1
    assert math.isnan(calibration.expected_calibration_error(ones[:0], right[:0]))


def test_opposite_gaps_cancel_inside_a_bin_only() -> None:
    # 0.75 four times with three right: calibrated, whatever single images say
    assert calibration.expected_calibration_error(torch.full((4,), 0.75), torch.arange(4) < 3) == 0
    # the same split over bins: 0.9 always wrong by 0.1, 0.6 wrong by 0.1 the other way
    confidence = torch.tensor([0.9] * 5 + [0.6] * 10, dtype=torch.float64)
    right = torch.tensor([True] * 5 + [True] * 5 + [False] * 5)
    assert calibration.expected_calibration_error(confidence, right) == pytest.approx(0.1, abs=1e-12)
