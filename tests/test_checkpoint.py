"""Checkpoints: whole or not trusted; and a training that is stopped anywhere ends bit by bit as one that is not."""

import dataclasses
import itertools
import os
import signal
import threading

import pytest
import torch

from benchmark import backbones, cell, checkpoint, data, pretrain, registry, rng
from benchmark.checkpoint import Checkpoints, Desk, Signals, State, Stop
from benchmark.errors import InputError
from benchmark.pretrain import Silent, Streams
from benchmark.schema import Measures

CPU = torch.device("cpu")
SMALL_VIT = {"img_size": 16, "patch_size": 4}
HERE = {"torch": "1.0", "device": "cpu"}
TIMES = ("epoch_seconds", "images_per_second")


@pytest.fixture(scope="module")
def splits(toy_task, toy_images):
    loaded = data.load(toy_task, toy_images)
    return data.coarsen(loaded.train, toy_task), data.coarsen(loaded.val, toy_task)


@pytest.fixture
def state(rng):
    tensors = {
        "network.weight": torch.randn(3, 4, 2, 2, generator=rng).contiguous(memory_format=torch.channels_last),
        "half": torch.randn(7, generator=rng).bfloat16(),
        "steps": torch.tensor(5),
        "empty": torch.zeros(0, 3),
        "stream": rng.get_state(),
    }
    return State(17, tensors, {"lr": 0.1 + 0.2, "history": [{"loss": float("inf"), "epoch": 0}]})


def keeper(folder, name="key.pretrain", minutes=0.0, signals=None, circumstances=HERE):
    return Checkpoints(folder, name, minutes, signals or Signals(), circumstances)


def assert_same(found, expected):
    assert found.steps == expected.steps and found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype and torch.equal(found.tensors[name], tensor), name
    assert {name: found.values[name] for name in expected.values} == expected.values


def test_a_state_survives_the_round_trip_bit_by_bit(state):
    assert_same(checkpoint.decode(checkpoint.encode(state)), state)


def test_no_flipped_bit_is_trusted(state, rng):
    content = checkpoint.encode(state)
    for at, bit in zip(
        torch.randint(len(content), (300,), generator=rng).tolist(), itertools.cycle(range(8)), strict=False
    ):
        damaged = bytearray(content)
        damaged[at] ^= 1 << bit
        try:
            assert_same(checkpoint.decode(bytes(damaged)), state)  # a blank of the header may have become another one
        except InputError as error:
            assert "not a whole checkpoint" in str(error)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7])
@pytest.mark.parametrize("filler", [b"", b"\0"])
def test_no_truncated_or_zeroed_file_is_trusted(state, share, filler):
    content = checkpoint.encode(state)
    kept = int(share * len(content))
    with pytest.raises(InputError, match="not a whole checkpoint"):
        checkpoint.decode(content[:kept] + filler * (len(content) - kept))


def test_the_newest_two_are_kept_and_the_newest_is_recalled(tmp_path, state):
    kept = keeper(tmp_path / "checkpoints")
    assert kept.recall() is None
    for steps in (9, 10, 100):
        kept.keep(dataclasses.replace(state, steps=steps))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert_same(keeper(tmp_path / "checkpoints").recall(), dataclasses.replace(state, steps=100))
    assert keeper(tmp_path / "checkpoints", "key.tune").recall() is None


def test_a_damaged_checkpoint_is_told_and_the_one_before_serves(tmp_path, state, caplog):
    for steps in (1, 2):
        keeper(tmp_path).keep(dataclasses.replace(state, steps=steps))
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    assert keeper(tmp_path).recall().steps == 1
    assert [record.getMessage().startswith(f"{newest}: not a whole checkpoint") for record in caplog.records] == [True]
    assert not newest.exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"circumstances": {**HERE, "torch": "2.0"}}, "made with torch 1.0, device cpu, this is torch 2.0, device cpu"),
        ({"name": "other.pretrain"}, "expected the state of other.pretrain, found that of key.pretrain"),
    ],
)
def test_a_checkpoint_of_something_else_is_told_and_not_used(tmp_path, state, changes, reason, caplog):
    keeper(tmp_path).keep(state)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / path.name.replace("key.pretrain", changes.get("name", "key.pretrain")))
    assert keeper(tmp_path, **changes).recall() is None
    assert reason in caplog.text and list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_no_training(tmp_path, state, caplog, monkeypatch):
    kept = keeper(tmp_path)
    kept.keep(state)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    kept.keep(dataclasses.replace(state, steps=18))
    assert "no checkpoint could be written (No space left on device)" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["key.pretrain.000000000017.safetensors"]


def test_a_folder_that_cannot_be_made_stops_no_training(tmp_path, state, caplog):
    (tmp_path / "file").write_text("")
    keeper(tmp_path / "file" / "checkpoints").keep(state)
    assert "no checkpoint could be written" in caplog.text


def test_checkpoints_are_due_by_the_minute_and_seconds_add_up(tmp_path, state, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    kept, never = keeper(tmp_path, minutes=2), keeper(tmp_path)
    now += 119
    assert not kept.due()
    now += 1
    assert kept.due() and not never.due()
    kept.keep(state)
    assert not kept.due()
    later = keeper(tmp_path)
    later.recall()
    now += 5
    later.keep(dataclasses.replace(state, steps=18))
    last = keeper(tmp_path)
    last.recall()
    assert (later.earlier_seconds, last.earlier_seconds) == (120, 125)


def test_a_signal_is_noted_and_stops_once_the_state_is_kept(tmp_path, state):
    with Signals() as signals:
        kept = keeper(tmp_path, signals=signals)
        assert not kept.due()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert kept.due()
        with pytest.raises(Stop, match="SIGUSR1"):
            kept.keep(state)
        assert_same(keeper(tmp_path).recall(), state)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_outside_the_main_thread_nothing_is_noted():
    found = []

    def work():
        with Signals() as signals:
            found.append(signals.noted)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [""]


def test_what_a_finished_cell_leaves_is_swept(tmp_path, state):
    for key in ("done", "open"):
        keeper(tmp_path, f"{key}.pretrain").keep(state)
        (tmp_path / f".{key}.pretrain.000000000018.safetensors.0123").write_text("half")
    checkpoint.tidy(tmp_path, lambda key: key == "done")
    assert len(list(tmp_path.glob("*open.*"))) == 2 and len(list(tmp_path.iterdir())) == 2
    checkpoint.remove(tmp_path, "open")
    assert list(tmp_path.iterdir()) == []
    checkpoint.tidy(tmp_path / "never made", lambda key: True)


class Breaking(Signals):
    """Signals that come after so many steps of training."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    @property
    def noted(self):
        return "SIGTERM" if self.after <= 0 else ""

    @noted.setter
    def noted(self, value):
        pass


class Countdown(Silent):
    def __init__(self, signals):
        self.signals, self.restored, self.seen, self.total = signals, None, 0, 0

    def begin(self, images):
        self.total = images

    def step(self, images):
        if self.restored is None:
            self.restored = images  # the first report is of what was done before
        else:
            self.signals.after -= 1
        self.seen += images


def train(cell, splits, folder, after=10**9, args=None):
    """The trained network, the history, and what the monitor saw."""
    network = backbones.build(cell.backbone, args or {}, 3, 3, 16, rng.seed(cell, "init"))
    generators = (rng.stream(cell, purpose) for purpose in ("order", "policy", "mix"))
    signals = Breaking(after)
    watch = Countdown(signals)
    method = registry.method(cell.method, cell.method_params)
    kept = keeper(folder, signals=signals)
    streams = Streams(*generators, dropout=rng.seed(cell, "dropout"))
    history = pretrain.pretrain(network, method, cell.recipe, splits, streams, CPU, watch, keeper=kept)
    return network, history, watch


def in_pieces(cell, splits, folder, pieces, **changes):
    """The same, stopped after so many steps again and again."""
    for steps in pieces:
        with pytest.raises(Stop):
            train(cell, splits, folder, steps, **changes)
    return train(cell, splits, folder, **changes)


def assert_equal_runs(first, second):
    for name, value in first[0].state_dict().items():
        assert torch.equal(value, second[0].state_dict()[name]), name
    plain = [[{k: v for k, v in record.items() if k not in TIMES} for record in run[1]] for run in (first, second)]
    assert repr(plain[0]) == repr(plain[1])  # NaN equals NaN, and floats are printed to the last bit
    assert first[2].seen == second[2].seen == second[2].total


@pytest.mark.parametrize("method", sorted(registry.methods()))
def test_every_method_goes_on_bit_by_bit(method, toy_cell, toy_recipe, splits, tmp_path, rng):
    backbone, args = ("test_vit", SMALL_VIT) if method in ("transmix", "tokenmix") else ("test_resnet", {})
    recipe = dataclasses.replace(toy_recipe, batch_size=32)
    one = dataclasses.replace(toy_cell(method, recipe=recipe), backbone=backbone)
    steps = 2 * pretrain.steps_per_epoch(len(splits[0].labels), recipe)
    at = sorted(torch.randperm(steps - 1, generator=rng)[:2].add(1).tolist())
    whole = train(one, splits, tmp_path / "whole", args=args)
    assert whole[2].restored == 0
    broken = in_pieces(one, splits, tmp_path / "pieces", [at[0], at[1] - at[0]], args=args)
    assert broken[2].restored == 32 * at[1]
    assert_equal_runs(whole, broken)


@pytest.mark.parametrize(
    ("backbone", "args", "changes"),
    [
        ("test_resnet", {"drop_rate": 0.3}, {}),
        ("test_resnet", {}, {"momentum": 0.0, "warmup_epochs": 1.0}),
        ("test_resnet", {}, {"schedule": "constant", "optimizer": "adamw", "lr": 0.001}),
        ("test_vit", {**SMALL_VIT, "drop_rate": 0.2, "drop_path_rate": 0.2}, {"optimizer": "adamw", "lr": 0.001}),
    ],
)
def test_every_optimiser_schedule_and_dropout_goes_on_bit_by_bit(
    backbone, args, changes, toy_cell, toy_recipe, splits, tmp_path
):
    """Stopped after every single step, the last of an epoch among them."""
    recipe = dataclasses.replace(toy_recipe, batch_size=32, **changes)
    one = dataclasses.replace(toy_cell("cutmix", recipe=recipe), backbone=backbone)
    steps = 2 * pretrain.steps_per_epoch(len(splits[0].labels), recipe)
    whole = train(one, splits, tmp_path / "whole", args=args)
    assert_equal_runs(whole, in_pieces(one, splits, tmp_path / "pieces", [1] * steps, args=args))


def test_momentum_lies_in_memory_as_its_parameter_does(toy_cell, splits, tmp_path):
    """Fused kernels walk along both alike; channels_last weights must meet channels_last momentum."""
    network = backbones.build("test_resnet", {}, 3, 3, 16, 0)
    streams = Streams(*(torch.Generator().manual_seed(i) for i in range(3)), 0)
    one = toy_cell()
    trainer = pretrain.prepare(network, registry.method("baseline", {}), one.recipe, splits[0], streams, CPU)
    pretrain._restore_moments(
        trainer.optimizer,
        {f"{i}.momentum_buffer": torch.ones(p.shape) for i, p in enumerate(parameters(trainer.optimizer))},
    )
    found = [trainer.optimizer.state[p]["momentum_buffer"].stride() for p in parameters(trainer.optimizer)]
    assert found == [p.stride() for p in parameters(trainer.optimizer)]
    assert any(torch.ones(p.shape).stride() != p.stride() for p in parameters(trainer.optimizer))


def parameters(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def test_a_cell_goes_on_in_either_phase(toy_cell, toy_images, toy_recipe, tmp_path, monkeypatch):
    """Killed while fine-tuning, the end of the pretraining is trained again, and both phases end as if undisturbed."""
    monkeypatch.setattr("benchmark.probes.fine_tune.EPOCHS", 2)
    recipe = dataclasses.replace(toy_recipe, batch_size=32)
    one = dataclasses.replace(toy_cell("am_mixup", recipe=recipe), measures=Measures(track=1, fine_tune=True))

    def run(folder, desk=None):
        row, predictions = cell.run_cell(one, toy_images, CPU, Silent(), cell.Shelf(folder / "features"), desk)
        return [[record[name] for name in record if name not in TIMES] for record in row.history], predictions

    whole = run(tmp_path)
    steps = itertools.count()

    class Sometimes(Signals):
        """A signal at the second step of the pretraining, at its last, and in the middle of the fine-tuning."""

        def raise_if_noted(self):
            if next(steps) in (1, 5, 8):
                raise Stop

    desk = Desk(tmp_path / "checkpoints", 1e-9, Sometimes())
    for _ in range(3):
        with pytest.raises(Stop):
            run(tmp_path, desk)
    assert run(tmp_path, desk) == whole
    assert {path.name.split(".")[1] for path in desk.folder.iterdir()} == {"pretrain", "tune"}
