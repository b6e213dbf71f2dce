"""RegMixup: against a loop, eta = 0 is the baseline, and clean and mixed images share one forward pass."""

import pytest
import torch
import torch.nn.functional as F
from reference import mixing

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.regmixup import RegMixup
from benchmark.registry import method as make


@pytest.mark.parametrize("params", [{}, {"alpha": 0.4, "eta": 0.3}, {"alpha": 20, "eta": 2}])
@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_the_loop(resnet64, batch64, progress, params, seed):
    images, labels = batch64
    method = RegMixup(**params)
    loss = method.loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    lam, order = draws.beta(params.get("alpha", 10.0), same), mixing.permutation(6, same)
    y = mixing.one_hot(labels, 4)
    clean = mixing.cross_entropy(resnet64(images), y)
    logits = resnet64(torch.from_numpy(mixing.blend(images, order, lam)))
    mixed = mixing.cross_entropy(logits, mixing.blend(y, order, lam))
    assert loss.item() == pytest.approx(clean + params.get("eta", 1.0) * mixed, rel=1e-6)


def test_eta_zero_is_the_baseline(resnet64, batch64, progress, rng):
    images, labels = batch64
    loss = RegMixup(eta=0).loss(resnet64, images, labels, progress, rng)
    torch.testing.assert_close(loss, F.cross_entropy(resnet64(images), labels), rtol=1e-10, atol=0)


def test_clean_and_mixed_images_are_one_batch_of_2b(resnet64, batch64, progress, rng):
    images, labels = batch64
    met = []
    handle = resnet64.model.conv1.register_forward_hook(lambda _module, inputs, _output: met.append(inputs[0]))
    RegMixup().loss(resnet64, images, labels, progress, rng)
    handle.remove()
    assert [len(batch) for batch in met] == [12]
    assert torch.equal(met[0][:6], images)


@pytest.mark.parametrize("params", [{"alpha": 0}, {"eta": -1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.regmixup.{next(iter(params))}"):
        make("regmixup", params)
