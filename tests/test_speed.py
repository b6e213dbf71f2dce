"""The figures of `c2f speed` from the times it took."""

import pytest

from benchmark.speed import _lines


def test_a_step_is_compared_with_the_baselines_beside_it():
    # A machine that slows down threefold over one round: the bare step always takes 0.8 and mixup 1.5 of the baseline.
    references = [1.0, 2.0, 3.0]
    bare, baseline, mixup = _lines({"bare step": [0.8 * 1.5], "mixup": [1.5 * 2.5]}, references, batch_size=10)
    assert [line.name for line in (bare, baseline, mixup)] == ["bare step", "baseline", "mixup"]
    assert bare.to_baseline == pytest.approx(0.8)
    assert mixup.to_baseline == pytest.approx(1.5)
    assert mixup.to_bare == pytest.approx(1.5 / 0.8)
    assert (baseline.to_bare, baseline.to_baseline) == (pytest.approx(1 / 0.8), 1.0)
    assert baseline.milliseconds == 2000
    assert baseline.images_per_second == 5


def test_one_disturbed_round_of_three_does_not_show():
    lines = _lines({"bare step": [1.0, 1.0, 1.0], "mixup": [1.2, 9.0, 1.2]}, [1.0] * 7, batch_size=1)
    assert lines[-1].to_baseline == pytest.approx(1.2)
    assert lines[-1].quartiles == pytest.approx((1.2, 5.1))  # halfway between the neighbours 1.2 and 9.0


def test_other_work_is_compared_by_the_image():
    # A batch of 10 takes the baseline 1 s, 0.1 s an image; 1,000 images in 2 s are a fiftieth of that.
    times = {"bare step": [0.8], "extract": [2.0]}
    bare, _, extract = _lines(times, [1.0] * 3, batch_size=10, images={"extract": 1000})
    assert extract.to_baseline == pytest.approx(0.02)
    assert extract.to_bare == pytest.approx(0.02 / 0.8)
    assert (extract.milliseconds, extract.images_per_second) == (2000, 500)
    assert bare.images_per_second == pytest.approx(12.5)
