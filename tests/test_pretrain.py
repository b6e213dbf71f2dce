"""The training loop: paired randomness, determinism, schedules, decay groups, what is logged, what is refused."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from benchmark import backbones, data, pretrain, registry, rng
from benchmark.data.ahead import Ahead
from benchmark.methods.base import Method, Progress
from benchmark.pretrain import Silent, Streams
from benchmark.schema import CoarseSplit, Recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def splits(toy_task, toy_images):
    loaded = data.load(toy_task, toy_images)
    return data.coarsen(loaded.train, toy_task), data.coarsen(loaded.val, toy_task)


def train(cell, splits, monitor=None):
    network = backbones.build(cell.backbone, {}, 3, 3, 16, rng.seed(cell, "init"))
    streams = Streams(
        rng.stream(cell, "order"), rng.stream(cell, "policy"), rng.stream(cell, "mix"), rng.seed(cell, "dropout")
    )
    method = registry.method(cell.method, cell.method_params)
    history = pretrain.pretrain(network, method, cell.recipe, splits, streams, CPU, monitor or Silent())
    return network, history


def train_with_fixed_seeds(recipe, splits, args=None):
    network = backbones.build("test_resnet", args or {}, 3, 3, 16, 0)
    streams = Streams(*(torch.Generator().manual_seed(i) for i in range(3)), dropout=0)
    return pretrain.pretrain(network, registry.method("baseline", {}), recipe, splits, streams, CPU, Silent())


class Recorder(Method):
    """A baseline that keeps the batches it was given."""

    def __init__(self):
        self.batches, self.progress = [], []

    def loss(self, network, images, labels, progress, rng):
        self.batches.append((images.clone(), labels.clone()))
        self.progress.append(progress)
        return F.cross_entropy(network(images), labels)


def test_training_twice_is_bitwise_equal(toy_cell, splits):
    (first, a), (second, b) = train(toy_cell("mixup"), splits), train(toy_cell("mixup"), splits)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    assert [r["loss"] for r in a] == [r["loss"] for r in b]


def test_set_that_stays_where_it_is_trains_as_one_that_is_moved(toy_cell, splits, monkeypatch):
    """Too large for the device or not: the same images reach the network, bit by bit."""
    size = math.prod(splits[0].images.shape)
    monkeypatch.setattr(pretrain, "_room", lambda device: size - 1)
    assert pretrain._placed(splits[0], CPU) is splits[0]
    streamed, a = train(toy_cell("mixup"), splits)
    monkeypatch.setattr(pretrain, "_room", lambda device: size)
    assert isinstance(pretrain._placed(splits[0], CPU).images, torch.Tensor)
    resident, b = train(toy_cell("mixup"), splits)
    monkeypatch.setattr(
        pretrain, "_placed", lambda split, device: CoarseSplit(Ahead(split.images, device), split.labels)
    )
    ahead, c = train(toy_cell("mixup"), splits)
    for key, value in streamed.state_dict().items():
        assert torch.equal(value, resident.state_dict()[key]), key
        assert torch.equal(value, ahead.state_dict()[key]), key
    figures = [[[r[key] for key in ("loss", "train_acc", "val_acc")] for r in history] for history in (a, b, c)]
    assert figures[0] == figures[1] == figures[2]


def test_methods_see_the_same_batches_and_crops(toy_cell, splits, monkeypatch):
    seen = {}
    for name in ("baseline", "am_mixup"):
        recorder = Recorder()
        monkeypatch.setattr(registry, "method", lambda _name, _params, recorder=recorder: recorder)
        train(_cell(toy_cell, name), splits)
        seen[name] = recorder.batches
        monkeypatch.undo()
    assert len(seen["baseline"]) == len(seen["am_mixup"]) > 4
    for (images, labels), (other_images, other_labels) in zip(*seen.values(), strict=True):
        assert torch.equal(images, other_images) and torch.equal(labels, other_labels)


def _cell(toy_cell, name):
    base = toy_cell("baseline")
    return dataclasses.replace(base, method=name, method_params={})


def test_progress_and_history_tell_the_same_story(toy_cell, splits, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(registry, "method", lambda _name, _params: recorder)
    _, history = train(_cell(toy_cell, "x"), splits)
    assert [record["epoch"] for record in history] == [0, 1]
    per_epoch = len(recorder.progress) // 2
    assert {p.train_acc for p in recorder.progress[:per_epoch]} == {0.0}
    assert {p.train_acc for p in recorder.progress[per_epoch:]} == {history[0]["train_acc"]}
    fractions = [p.fraction for p in recorder.progress]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] < 1
    assert all(0 <= record[name] <= 1 for record in history for name in ("train_acc", "val_acc"))


def test_lam_is_logged_from_the_accuracy_of_the_epoch_before(toy_cell, splits):
    _, history = train(toy_cell("am_mixup", beta=2.0), splits)
    assert history[0]["lam"] == 1.0
    assert history[1]["lam"] == pytest.approx((1 + math.exp(-2 * history[0]["train_acc"])) / 2)


def test_the_loop_learns(toy_cell, toy_recipe, splits):
    recipe = dataclasses.replace(toy_recipe, epochs=12)
    _, history = train(toy_cell(recipe=recipe), splits)
    assert history[-1]["val_acc"] > 0.8 and history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_accuracy_equals_a_plain_count(toy_cell, splits):
    network, history = train(toy_cell(), splits)
    mean, std = pretrain.policy.channel_statistics(splits[0].images)
    network.eval()
    with torch.no_grad():
        logits = network((splits[1].images[:].float() - mean) / std)
    right = sum(int(z.argmax() == y) for z, y in zip(logits, splits[1].labels, strict=True))
    assert history[-1]["val_acc"] == pytest.approx(right / len(splits[1].labels))


def test_batches_are_full_and_without_repeats(toy_cell, splits):
    cell = toy_cell()
    network = backbones.build("test_resnet", {}, 3, 3, 16, 0)
    streams = Streams(*(torch.Generator().manual_seed(i) for i in range(3)), 0)
    trainer = pretrain.prepare(network, registry.method("baseline", {}), cell.recipe, splits[0], streams, CPU)
    first, second = (torch.cat(list(pretrain.batches(trainer))) for _ in range(2))
    count = len(splits[0].labels) // 16 * 16
    assert len(first) == len(first.unique()) == count
    assert not torch.equal(first, second)


def test_a_set_smaller_than_a_batch_is_one_batch(toy_cell, toy_recipe, splits):
    recipe = dataclasses.replace(toy_recipe, batch_size=100_000, epochs=1)
    _, history = train(toy_cell(recipe=recipe), splits)
    assert len(history) == 1


def test_a_loss_that_is_not_finite_stops_the_cell(toy_cell, splits, monkeypatch):
    class Broken(Method):
        def loss(self, network, images, labels, progress, rng):
            return network(images).sum() * math.nan

    monkeypatch.setattr(registry, "method", lambda _name, _params: Broken())
    with pytest.raises(FloatingPointError, match=r"epoch 0; lower recipe.lr"):
        train(_cell(toy_cell, "x"), splits)


def test_learning_rate_warms_up_and_falls_to_zero():
    recipe = Recipe(name="x", title="", epochs=10, warmup_epochs=2, lr=1.0)
    share = pretrain._learning_rate(recipe, 5)
    # 10 warm-up steps: (step + 1) / 11; then half a cosine over 40 steps, 1 at its start and 1/2 in its middle
    assert [share(0), share(9)] == pytest.approx([1 / 11, 10 / 11])
    assert [share(10), share(30), share(50)] == pytest.approx([1.0, 0.5, 0.0])


def test_a_constant_schedule_stays_at_its_peak():
    recipe = Recipe(name="x", title="", epochs=3, schedule="constant")
    assert {pretrain._learning_rate(recipe, 4)(step) for step in range(12)} == {1.0}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_norms_and_biases_are_not_decayed(optimizer, toy_recipe):
    network = backbones.build("test_vit", {"img_size": 32}, 3, 3, 32, 0)
    recipe = dataclasses.replace(toy_recipe, optimizer=optimizer, weight_decay=0.1)
    groups = pretrain._optimizer(network, recipe).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    for name, parameter in network.named_parameters():
        spared = parameter.ndim <= 1 or name.endswith(("pos_embed", "cls_token"))
        assert (id(parameter) in decayed) == (not spared), name


def test_global_randomness_is_left_alone(toy_cell, splits):
    before = torch.get_rng_state()
    train(toy_cell(), splits)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_inside_a_backbone_is_seeded(toy_recipe, splits):
    losses = []
    for noise in (1, 2):  # whatever the global state is when training starts
        torch.manual_seed(noise)
        losses.append(train_with_fixed_seeds(toy_recipe, splits, {"drop_rate": 0.5})[-1]["loss"])
    assert losses[0] == losses[1] != train_with_fixed_seeds(toy_recipe, splits)[-1]["loss"]


def test_precision_is_what_the_recipe_says():
    assert pretrain.autocast_dtype("bf16", CPU) is torch.bfloat16
    assert pretrain.autocast_dtype("fp32", CPU) is None
    assert pretrain.autocast_dtype("auto", CPU) in (None, torch.bfloat16)


def test_bf16_training_follows_fp32(toy_recipe, splits):
    losses = [
        train_with_fixed_seeds(dataclasses.replace(toy_recipe, precision=precision), splits)[0]["loss"]
        for precision in ("fp32", "bf16")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # bf16 keeps 8 bits


def test_extraction_does_not_depend_on_the_batch_size(toy_cell, splits, monkeypatch):
    network, _ = train(toy_cell(), splits)
    stats = pretrain.policy.channel_statistics(splits[0].images)
    whole = pretrain.forward_in_batches(network, network.features, splits[0].images, *stats)
    monkeypatch.setattr(pretrain, "EVAL_BATCH", 7)
    pieces = pretrain.forward_in_batches(network, network.features, splits[0].images, *stats)
    torch.testing.assert_close(whole, pieces, rtol=1e-5, atol=1e-5)  # float32 sums in another order


def test_monitored_subsets_are_capped_and_even():
    split = CoarseSplit(torch.zeros(5000, 1, 2, 2, dtype=torch.uint8), torch.arange(5000) // 500)
    subset = pretrain.subset(split, 2000)
    assert torch.bincount(subset.labels).tolist() == [200] * 10


def test_progress_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Progress(0, 0.0, 0.0, torch.ones(2)).epoch = 1
