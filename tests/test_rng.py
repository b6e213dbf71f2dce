"""Streams: paired between methods, independent between purposes and seeds; Beta draws have Beta's moments."""

import dataclasses

import pytest
import torch

from benchmark import rng, schema


@pytest.mark.parametrize("purpose", ["init", "order", "policy", "probe", "dropout"])
def test_shared_purposes_do_not_depend_on_the_method(toy_cell, purpose):
    assert rng.seed(toy_cell("baseline"), purpose) == rng.seed(toy_cell("am_mixup"), purpose)
    assert rng.seed(toy_cell("am_mixup"), purpose) == rng.seed(toy_cell("am_mixup", beta=7.0), purpose)


def test_mix_depends_on_the_method_and_its_parameters(toy_cell):
    cells = [toy_cell("baseline"), toy_cell("am_mixup"), toy_cell("am_mixup", beta=7.0)]
    assert len({rng.seed(cell, "mix") for cell in cells}) == 3


def test_a_metric_version_does_not_move_training(toy_cell, monkeypatch):
    before = [rng.seed(toy_cell("mixup"), purpose) for purpose in ("init", "order", "policy", "mix")]
    monkeypatch.setattr(schema, "METRIC_VERSION", schema.METRIC_VERSION + 1)
    assert [rng.seed(toy_cell("mixup"), purpose) for purpose in ("init", "order", "policy", "mix")] == before


def test_every_shared_part_and_every_purpose_moves_the_seed(toy_cell, toy_recipe):
    cell = toy_cell()
    other = [
        toy_cell(seed=1),
        toy_cell(recipe=dataclasses.replace(toy_recipe, epochs=3)),
        dataclasses.replace(cell, backbone="test_vit"),
        dataclasses.replace(cell, task=dataclasses.replace(cell.task, name="another")),
    ]
    assert len({rng.seed(c, "init") for c in [cell, *other]}) == 5
    assert len({rng.seed(cell, purpose) for purpose in ("init", "order", "policy", "probe", "dropout", "mix")}) == 6


def test_a_stream_restarts_the_same(toy_cell):
    first, second = (torch.rand(4, generator=rng.stream(toy_cell(), "order")) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 2.0])
def test_beta_has_the_moments_of_beta(alpha):
    generator = torch.Generator().manual_seed(0)
    draws = torch.tensor([rng.beta(alpha, generator) for _ in range(20_000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert ((draws >= 0) & (draws <= 1)).all()
    assert float(draws.mean()) == pytest.approx(0.5, abs=5 * (variance / 20_000) ** 0.5)
    assert float(draws.var()) == pytest.approx(variance, rel=0.05)


def test_beta_refuses_an_alpha_that_underflows():
    with pytest.raises(ValueError, match=r"at least 0.01"):
        rng.beta(0.001, torch.Generator())
