"""A compiled backbone computes what it did, is refused where it does not, and is told from one that is not."""

import dataclasses

import pytest
import torch

from benchmark import backbones, compiling, data, distributed, pretrain, registry, rng
from benchmark.errors import InputError
from benchmark.pretrain import Silent, Streams

CPU = torch.device("cpu")
LABELS = torch.arange(6) % 3


@pytest.fixture
def images(rng):
    return torch.randn(6, 3, 8, 8, generator=rng).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def without_compiler(monkeypatch):
    """Graphs are captured as for any compiler, and run as they are: no C++ is written."""
    original = torch.compile

    def captured(function, options=None, **words):
        return original(function, backend="aot_eager", **words)

    monkeypatch.setattr(torch, "compile", captured)


def small_vit():
    return backbones.build("vit-thin-p2", {"depth": 1}, 3, 3, 8, seed=0)


def resnet(args=None):
    return backbones.build("test_resnet", args or {}, 3, 3, 8, seed=0)


def test_the_real_compiler_gives_the_same_features(images):
    network = small_vit()
    compiling.require(CPU)
    compiling.compile_backbone(network, images, LABELS, None)
    network.train()
    found = network.features(images)
    torch.testing.assert_close(found, network.run(images))
    assert network.compiled is not None


@pytest.mark.usefixtures("without_compiler")
def test_weights_statistics_and_randomness_are_left_as_they_were(images):
    network = resnet({"drop_rate": 0.2})
    before, state = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    compiling.compile_backbone(network, images, LABELS, None)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.usefixtures("without_compiler")
def test_evaluation_and_hidden_stages_run_the_backbone_as_it_is(images):
    network = resnet()
    compiling.compile_backbone(network, images, LABELS, None)
    network.compiled = lambda images: pytest.fail("the graph was used")
    network.eval().features(images)
    network.train().features(images, 1, lambda hidden: hidden.flip(0))
    with pytest.raises(pytest.fail.Exception):
        network.features(images)


def test_other_numbers_are_refused(images, monkeypatch):
    network = resnet()
    monkeypatch.setattr(torch, "compile", lambda function, **words: lambda images: 1.01 * function(images))
    with pytest.raises(InputError, match=r"compiled loss of a batch differs by \d.*leave --compile out"):
        compiling.compile_backbone(network, images, LABELS, None)

    def with_another_gradient(function, **words):
        return lambda images: function(images) + (lambda f: 0.1 * (f - f.detach()))(function(images))

    monkeypatch.setattr(torch, "compile", with_another_gradient)
    network = small_vit()  # its output does not depend on how often it was run
    with pytest.raises(InputError, match="compiled gradient of a batch differs by"):
        compiling.compile_backbone(network, images, LABELS, None)


@pytest.mark.usefixtures("without_compiler")
def test_a_backbone_that_is_no_graph_is_refused(images, monkeypatch):
    network = resnet()
    forward = network.model.forward_features
    monkeypatch.setattr(
        network.model, "forward_features", lambda images: torch._dynamo.graph_break() or forward(images)
    )
    with pytest.raises(InputError, match="this backbone cannot be compiled"):
        compiling.compile_backbone(network, images, LABELS, None)


def test_no_compiler_and_several_processes_are_told_in_a_line(monkeypatch):
    def broken(function, **words):
        raise RuntimeError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(InputError, match=r"\(No working C\+\+ compiler found\); install g\+\+"):
        compiling.require(CPU)
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with pytest.raises(InputError, match="for one process"):
        compiling.require(CPU)


@pytest.mark.usefixtures("without_compiler")
def test_training_a_compiled_backbone_is_training(toy_cell, toy_task, toy_images):
    loaded = data.load(toy_task, toy_images)
    splits = data.coarsen(loaded.train, toy_task), data.coarsen(loaded.val, toy_task)
    losses = []
    for compiled in (False, True):
        cell = toy_cell("mixup", recipe=dataclasses.replace(toy_cell().recipe, compile=compiled))
        purposes = (rng.stream(cell, "order"), rng.stream(cell, "policy"), rng.stream(cell, "mix"))
        network = backbones.build(cell.backbone, {}, 3, 3, 16, rng.seed(cell, "init"))
        method = registry.method(cell.method, cell.method_params)
        streams = Streams(*purposes, rng.seed(cell, "dropout"))
        history = pretrain.pretrain(network, method, cell.recipe, splits, streams, CPU, Silent())
        assert (network.compiled is not None) == compiled
        losses.append([record["loss"] for record in history])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # streams are paired, too


def test_a_compiled_cell_is_another_one_and_others_stay(toy_cell):
    plain = toy_cell()
    compiled = toy_cell(recipe=dataclasses.replace(plain.recipe, compile=True))
    assert "compile" not in plain.recipe.hyperparameters and compiled.recipe.hyperparameters["compile"] is True
    assert compiled.key != plain.key and compiled.features_key != plain.features_key
    assert compiled.shared_identity == plain.shared_identity
    assert compiled.training_identity == plain.training_identity
