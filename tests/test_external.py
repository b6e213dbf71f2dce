"""Networks and features made elsewhere: the same scores as our own, and every file that cannot be used in one line."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import HIERARCHIES
from PIL import Image

from benchmark import archive, backbones, cell, cli, data, external, registry, verify
from benchmark.cell import Shelf
from benchmark.data import policy
from benchmark.data.resized import Resized
from benchmark.errors import InputError
from benchmark.features import extract
from benchmark.metrics import METRICS, wide
from benchmark.pretrain import Silent
from benchmark.store import Store

CPU = torch.device("cpu")


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "features")


@pytest.fixture(scope="module")
def arrays():
    """Features of the toy task's classes, some way apart, as a user would write them."""
    task = registry.task("toy", HIERARCHIES)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(7, 6)) * 2

    def part(count):
        labels = np.arange(7).repeat(count)
        return (centres[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32), np.array(task.fine_classes)[
            labels
        ]

    (train, train_classes), (test, test_classes) = part(20), part(8)
    found = {"train_features": train, "train_classes": train_classes}
    return found | {"test_features": test, "test_classes": test_classes}


@pytest.fixture
def write(arrays, tmp_path):
    """Writes the feature file with changes; None leaves an array out."""

    def go(**changes):
        path = tmp_path / "features.npz"
        np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
        return path

    return go


def scores_of(path, toy_task, shelf, **changes):
    return wide(external.from_features(path, toy_task, "mine", shelf, **changes).row.figures)


def test_a_feature_file_gets_every_score_that_needs_no_head(write, toy_task, shelf):
    scores = scores_of(write(), toy_task, shelf)
    assert scores["fine_knn_acc"] > 0.8 and scores["subclass_separability"] > 0
    missing = {name for name, value in scores.items() if np.isnan(value)}
    of_head = {name for name, metric in METRICS.items() if metric.family == "head"}
    assert missing == of_head | {
        *("fine_tuned_acc", "nc3_coarse", "nc4_coarse", "margin_mean", "margin_cv", "margin_negative")
    }


def test_logits_of_a_coarse_head_are_scored(write, toy_task, shelf, arrays):
    to_coarse = dict(zip(toy_task.fine_classes, toy_task.fine_to_coarse, strict=True))
    right = np.eye(3, dtype=np.float64)[[to_coarse[name] for name in arrays["test_classes"]]]
    right[:14] = right[:14, [1, 2, 0]]
    scores = scores_of(write(test_coarse_logits=right), toy_task, shelf)
    assert scores["coarse_acc"] == pytest.approx(42 / 56)


def test_order_of_rows_does_not_matter_to_what_is_not_drawn(write, toy_task, shelf, arrays):
    order = np.random.default_rng(1).permutation(len(arrays["test_features"]))
    one = scores_of(write(), toy_task, shelf)
    other = scores_of(
        write(test_features=arrays["test_features"][order], test_classes=arrays["test_classes"][order]), toy_task, shelf
    )
    for name in ("fine_linear_acc", "fine_knn_acc", "fine_map_at_r", "uniformity", "nc1_fine", "rankme"):
        assert one[name] == pytest.approx(other[name], rel=1e-6), name


def test_validation_features_of_the_users_own_are_used(write, toy_task, shelf, arrays):
    own = {"val_features": arrays["test_features"], "val_classes": arrays["test_classes"]}
    made = external.from_features(write(**own), toy_task, "mine", shelf)
    plain = external.from_features(write(), toy_task, "mine", shelf)
    assert made.row.selection.fine_val_acc != plain.row.selection.fine_val_acc
    assert made.row.cell.key != plain.row.cell.key  # another file is another cell


def test_readable_names_serve_as_well_as_ids(toy_task, shelf, write, arrays):
    names = {name: f"the {name}" for name in toy_task.fine_classes}
    task = dataclasses.replace(toy_task, hierarchy=dataclasses.replace(toy_task.hierarchy, names=names))
    readable = np.array([names[name] for name in arrays["test_classes"]])
    assert scores_of(write(test_classes=readable), task, shelf) == pytest.approx(
        scores_of(write(), task, shelf), nan_ok=True
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"train_features": None}, "train_features missing, found .*expected train_features"),
        ({"test_classes": None}, "test_classes missing"),
        ({"train_features": np.zeros((140, 2, 3), np.float32)}, r"train_features is float32 \(140, 2, 3\); expected"),
        ({"train_features": np.ones((140, 6), np.int64)}, "train_features is int64"),
        ({"train_features": np.full((140, 6), np.nan)}, "train_features holds NaN"),
        ({"train_features": np.zeros((140, 6))}, "rows of zeros"),
        ({"train_features": np.ones((140, 5))}, "features differ in width"),
        ({"test_classes": np.arange(56)}, "test_classes is int64 .* expected 56 class names"),
        ({"test_classes": np.array(["long_a"] * 55)}, r"test_classes is <U6 \(55,\)"),
        ({"test_classes": np.array(["long_z"] * 56)}, "unknown class 'long_z'; did you mean 'long_"),
        ({"test_classes": np.array(["long_a"] * 56)}, "no test features of 6 classes of toy"),
        ({"test_coarse_logits": np.zeros((56, 4))}, r"expected finite floats \(56, 3\)"),
        ({"test_classes": np.array([{}] * 56, dtype=object)}, "not an npz file of plain arrays"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(changes, problem, write, toy_task, shelf):
    with pytest.raises(InputError, match=problem) as error:
        scores_of(write(**changes), toy_task, shelf)
    assert "\n" not in str(error.value)


@pytest.fixture
def checkpoint(toy_task, toy_images, toy_cell, tmp_path):
    """A network of ours, its weights in a file, and the features of its splits."""
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=5)
    splits = data.load(toy_task, toy_images)
    torch.save({"state_dict": network.model.state_dict()}, tmp_path / "net.pth")
    return tmp_path / "net.pth", extract(network, splits, None, policy.channel_statistics(splits.train.images), CPU)


def made_of(path, toy_task, toy_images, shelf, backbone="test_resnet", **changes):
    asked = external.Checkpoint(path, backbone, {}, **changes)
    return external.from_checkpoint(asked, toy_task, toy_images, "mine", shelf, CPU)


def test_a_checkpoint_is_scored_as_if_it_were_ours(checkpoint, toy_task, toy_images, tmp_path):
    path, expected = checkpoint
    shelf = Shelf(tmp_path / "features", keep=True)
    made = made_of(path, toy_task, toy_images, shelf)
    features, _, _ = archive.recall(shelf.path(made.row.cell))
    torch.testing.assert_close(features.test, expected.test)
    torch.testing.assert_close(features.test_logits, expected.test_logits)
    scores = wide(made.row.figures)
    assert not np.isnan(scores["coarse_acc"]) and not np.isnan(scores["margin_mean"])
    (figure,) = [f for f in made.row.figures if f.metric == "rankme" and f.split == "test"]
    assert not np.isnan(figure.untrained)


def test_a_head_of_other_classes_is_left_out(toy_task, toy_images, shelf, tmp_path):
    torch.save(backbones.build("test_resnet", {}, 9, 3, 16, seed=5).model.state_dict(), tmp_path / "net.pth")
    scores = wide(made_of(tmp_path / "net.pth", toy_task, toy_images, shelf).row.figures)
    assert np.isnan(scores["coarse_acc"]) and not np.isnan(scores["fine_linear_acc"])


def test_weights_of_another_architecture_are_refused(checkpoint, toy_task, toy_images, shelf):
    with pytest.raises(InputError, match=r"tensors are missing or of another shape .*--backbone"):
        made_of(checkpoint[0], toy_task, toy_images, shelf, backbone="resnet18-thin")


def test_a_file_that_holds_no_weights_is_refused(toy_task, toy_images, shelf, tmp_path):
    (tmp_path / "net.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"net\.pth: no weights to read"):
        made_of(tmp_path / "net.pth", toy_task, toy_images, shelf)


def test_pickled_code_in_weights_is_not_run(toy_task, toy_images, shelf, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "proof"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "net.pth")
    with pytest.raises(InputError, match="no weights to read"):
        made_of(tmp_path / "net.pth", toy_task, toy_images, shelf)
    assert not (tmp_path / "proof").exists()


def test_images_are_resized_where_a_network_wants_it(checkpoint, toy_task, toy_images, shelf):
    plain = made_of(checkpoint[0], toy_task, toy_images, shelf)
    larger = made_of(checkpoint[0], toy_task, toy_images, shelf, image_size=24)
    assert larger.row.cell.key != plain.row.cell.key
    assert wide(larger.row.figures)["rankme"] != wide(plain.row.figures)["rankme"]


def test_resized_images_are_those_of_pillow(toy_task, toy_images):
    images = data.load(toy_task, toy_images).test.images
    resized = Resized(images, 24)
    whole = resized.to(CPU)
    assert resized.shape == tuple(whole.shape) == (len(whole), 3, 24, 24)
    for found, image in zip(whole[:5], images.to(CPU), strict=False):
        drawn = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((24, 24), Image.Resampling.BICUBIC)
        assert np.abs(np.asarray(drawn, int) - found.permute(1, 2, 0).numpy()).max() <= 1  # rounded twice there
    assert torch.equal(torch.cat(list(resized.split(7))), whole)
    assert torch.equal(resized[torch.tensor([3, 1])], whole[[3, 1]]) and torch.equal(resized[2], whole[2])


def test_names_that_are_neither_file_nor_model(tmp_path, shelf):
    request = external.Request("nothing", "toy", "", 0, "", 0, tmp_path, HIERARCHIES)
    with pytest.raises(InputError, match="no such file, and no timm model of that name"):
        external.score(request, shelf, CPU)
    (tmp_path / "net.pth").write_bytes(b"")
    request = dataclasses.replace(request, what=str(tmp_path / "net.pth"))
    with pytest.raises(InputError, match="name it with --backbone"):
        external.score(request, shelf, CPU)
    with pytest.raises(InputError, match="--name 'No Name'"):
        external.score(dataclasses.replace(request, name="No Name"), shelf, CPU)


def test_the_command_writes_rows_that_verify(write, tmp_path, monkeypatch, capsys):
    path, out = write(), tmp_path / "out"
    arguments = ["c2f", "score", str(path), "--task", "toy", "--datasets-dir", str(HIERARCHIES), "--out", str(out)]
    monkeypatch.setattr("sys.argv", [*arguments, "--keep-features"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "fine_linear_acc" in capsys.readouterr().out
    (verdict,) = verify.verify(out, HIERARCHIES)
    (record,) = Store(out).records()
    assert (verdict.state, verdict.lines, verdict.computed) == ("equal", (), len(record["figures"]))
    assert (out / "scores.csv").exists() and record["cell"]["recipe"] == "external"


def test_our_own_row_and_its_features_file_agree(toy_cell, toy_images, toy_task, tmp_path, shelf):
    """The same network by the training loop and by a feature file: the read-outs that draw nothing are the same."""
    keeping = Shelf(tmp_path / "kept", keep=True)
    ours = toy_cell("mixup")
    row, _ = cell.run_cell(ours, toy_images, CPU, Silent(), keeping)
    features, labels, _ = archive.recall(keeping.path(ours))
    names = np.array(toy_task.fine_classes)
    parts = {}
    for part in ("train", "val", "test"):
        parts[f"{part}_features"] = getattr(features, part).numpy()
        parts[f"{part}_classes"] = names[getattr(labels, part)]
    np.savez(tmp_path / "ours.npz", **parts, test_coarse_logits=features.test_logits.numpy())
    made = external.from_features(tmp_path / "ours.npz", toy_task, "mine", shelf)
    one, other = wide(row.figures), wide(made.row.figures)
    for name in (
        "coarse_acc",
        "coarse_ece",
        "fine_linear_acc",
        "fine_knn_acc",
        "fine_map_at_r",
        "nc1_fine",
        "nc3_fine",
    ):
        assert one[name] == other[name], name


def test_sweeps_do_not_train_what_is_external(toy_task):
    request = external._cell(toy_task, "0" * 16, "mine", "features", {}, "f" * 16, 0)
    with pytest.raises(ValueError, match="trained elsewhere"):
        cell._recipe(request)


def test_published_weights_see_pixels_as_they_were_trained(toy_task, toy_images, monkeypatch, tmp_path):
    """timm's download is replaced: what is asked for, the normalisation and the missing head are looked at."""
    asked, build = [], backbones.build

    def fake(name, args, **shape):
        asked.append(dict(args))
        network = build(name, {}, **shape)
        network.model.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
        return network

    monkeypatch.setattr(backbones, "build", fake)
    shelf = Shelf(tmp_path / "features", keep=True)
    made = external.from_checkpoint(
        external.Checkpoint(None, "test_resnet", {}), toy_task, toy_images, "mine", shelf, CPU, seed=4
    )
    assert asked == [{}, {"pretrained": True}]
    images = data.load(toy_task, toy_images).test.images.to(CPU).float() / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
    network = build("test_resnet", {}, num_classes=3, channels=3, image_size=16, seed=4).eval()
    with torch.no_grad():
        expected = network.features((images - mean) / std)
    features, _, _ = archive.recall(shelf.path(made.row.cell))
    torch.testing.assert_close(features.test, expected, rtol=1e-4, atol=1e-5)
    assert features.test_logits is None and np.isnan(wide(made.row.figures)["coarse_acc"])
    assert made.row.cell.backbone_args == {"pretrained": True}


def test_grey_images_are_normalised_by_the_mean_over_channels():
    network = backbones.build("test_resnet", {}, 3, 1, 16, seed=0)
    network.model.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    mean, std = external._published_statistics(network, channels=1)
    assert mean.flatten().tolist() == pytest.approx([102.0]) and std.flatten().tolist() == pytest.approx([76.5])


def test_a_network_that_has_diverged_is_refused_in_one_line(toy_task, toy_images, shelf, tmp_path):
    weights = backbones.build("test_resnet", {}, 3, 3, 16, seed=5).model.state_dict()
    torch.save({name: value * torch.nan for name, value in weights.items()}, tmp_path / "net.pth")
    with pytest.raises(InputError, match=r"^mine cannot be scored: .* NaN or infinity") as error:
        made_of(tmp_path / "net.pth", toy_task, toy_images, shelf)
    assert "\n" not in str(error.value)
