"""torchvision's sets: files are checked before they are opened; the real ones agree with their published labels."""

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from benchmark import data, registry
from benchmark.data import Decoded, torchvision_sets
from benchmark.data.source import Request
from benchmark.errors import InputError

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "coarse_maps.json"


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_trap_springs_when_loaded(tmp_path: Path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize(("name", "folder"), [("CIFAR100", "cifar-100-python"), ("CIFAR10", "cifar-10-batches-py")])
def test_pickle_with_another_md5_is_refused_before_it_is_loaded(
    tmp_path: Path, make_request: Callable[..., Request], name: str, folder: str
):
    request, marker = make_request(f"torchvision/{name}", tmp_path), tmp_path / "sprung"
    (tmp_path / folder).mkdir()
    for file in torchvision_sets._files(request):
        (tmp_path / folder / file).write_bytes(pickle.dumps(Trap(marker)))
    with pytest.raises(InputError, match=rf"{folder}/\S+: corrupt, MD5 is not [0-9a-f]{{32}}; delete it and fetch"):
        torchvision_sets.read(request)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("CIFAR100", "no train in {}/cifar-100-python"),
        ("CIFAR10", "no data_batch_1 in {}/cifar-10-batches-py"),
        ("FashionMNIST", "no train-images-idx3-ubyte in {}/FashionMNIST/raw"),
        ("MNIST", "no train-images-idx3-ubyte in {}/MNIST/raw"),
        ("KMNIST", "no train-images-idx3-ubyte in {}/KMNIST/raw"),
    ],
)
def test_missing_data_names_folder_and_both_remedies(
    tmp_path: Path, make_request: Callable[..., Request], name: str, first: str
):
    with pytest.raises(InputError, match=f"{name}: {first.format(tmp_path)}; .*--data-root .*--download"):
        torchvision_sets.read(make_request(f"torchvision/{name}", tmp_path))


def test_unknown_set_lists_the_known_ones(make_request: Callable[..., Request]):
    with pytest.raises(InputError, match=r"unknown source 'torchvision/SVHN'; use one of: torchvision/CIFAR10, "):
        torchvision_sets.fingerprint(make_request("torchvision/SVHN"))


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST"])
def test_fingerprint_needs_no_files(make_request: Callable[..., Request], name: str):
    request = make_request(f"torchvision/{name}", Path("nowhere"))
    assert len(bytes.fromhex(torchvision_sets.fingerprint(request))) == 32


def test_published_sums_are_torchvisions():
    for name, files in torchvision_sets.CIFAR.items():
        theirs = getattr(datasets, name)
        assert files == dict([*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])])
    for name, files in torchvision_sets.IDX.items():
        assert files == dict(getattr(datasets, name).resources)


def test_decoded_set_does_not_wait_for_torchvision():
    code = """if True:
        import sys
        from pathlib import Path
        from benchmark.data import torchvision_sets
        from benchmark.data.source import Request
        from benchmark.registry import task
        torchvision_sets.fingerprint(Request(task("cifar100-superclass").hierarchy, Path("nowhere")))
        sys.exit("torchvision" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("failure", [RuntimeError("File not found or corrupted."), OSError("no route to host")])
def test_failed_download_says_why_and_what_to_do(
    tmp_path: Path, make_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, failure: Exception
):
    calls = []

    def fail(self: object, root: Path, train: bool = True, download: bool = False) -> None:
        calls.append((root, download))
        raise failure

    monkeypatch.setattr(datasets.CIFAR100, "__init__", fail)
    root = tmp_path / "new"
    with pytest.raises(InputError, match=rf"download to {root} failed \({failure}\); check the network .* by hand"):
        torchvision_sets.read(make_request("torchvision/CIFAR100", root, download=True))
    assert calls == [(root, True)]


def test_download_that_leaves_no_files_is_an_input_error(
    tmp_path: Path, make_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(datasets.CIFAR100, "__init__", lambda self, root, train=True, download=False: None)
    with pytest.raises(InputError, match=r"CIFAR100: the download left no train in .*; put the files there by hand"):
        torchvision_sets.read(make_request("torchvision/CIFAR100", tmp_path, download=True))


def test_mnist_names_are_the_digits():
    assert torchvision_sets._mnist_names(datasets.MNIST.classes) == tuple("0123456789")


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format of yann.lecun.com/exdb/mnist: magic number, big-endian sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def test_kmnist_has_the_names_of_its_characters(
    tmp_path: Path, make_request: Callable[..., Request], rng: torch.Generator
):
    raw = tmp_path / "KMNIST" / "raw"
    images = torch.randint(0, 256, (10, 28, 28), generator=rng).numpy()
    for prefix, order in (("train", np.arange(10)), ("t10k", np.arange(10)[::-1])):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images[order])
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", order)
    found = torchvision_sets.read(make_request("torchvision/KMNIST", tmp_path))
    assert found.classes == ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    np.testing.assert_array_equal(found.parts["train"].images[:, 0], images)
    np.testing.assert_array_equal(found.parts["test"].images[:, 0], images[::-1])
    assert found.parts["test"].labels.tolist() == list(range(9, -1, -1))


def test_idx_files_that_are_not_idx_are_an_input_error(tmp_path: Path, make_request: Callable[..., Request]):
    request = make_request("torchvision/MNIST", tmp_path)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for file in torchvision_sets._files(request):
        (tmp_path / "MNIST" / "raw" / file).write_bytes(b"\0\0\x08\x03")
    with pytest.raises(InputError, match=r"MNIST: cannot be read from .*/MNIST/raw \(.*\); fetch it again"):
        torchvision_sets.read(request)


@pytest.mark.parametrize(
    ("task", "key"), [("cifar100-superclass", "cifar100_20"), ("cifar10-vehicles-animals", "cifar10_2")]
)
def test_groups_equal_those_of_published_code(task: str, key: str):
    if not FACTS.is_file():
        pytest.skip("no table of published maps beside the checkout")
    facts = json.loads(FACTS.read_text())[key]
    published: dict[int, set[str]] = {}
    for name, coarse in zip(facts["fine_names"], facts["fine_to_coarse"], strict=True):
        published.setdefault(coarse, set()).add(name)
    found = registry.task(task)
    ours = {
        k: {name for name, coarse in zip(found.fine_classes, found.fine_to_coarse, strict=True) if coarse == k}
        for k in range(len(found.coarse_classes))
    }
    assert ours == published


@pytest.fixture(scope="module")
def cifar100(real_data: Callable[[str], Path]) -> tuple[Path, Decoded]:
    root = real_data("cifar100")
    return root, data.decode(registry.task("cifar100-superclass").hierarchy, root)


@pytest.mark.real_data
def test_cifar100_has_its_published_shapes_and_counts(cifar100: tuple[Path, Decoded]):
    task = registry.task("cifar100-superclass")
    parts = cifar100[1].raw.parts
    assert {name: part.images.shape for name, part in parts.items()} == {
        "train": (50_000, 3, 32, 32),
        "test": (10_000, 3, 32, 32),
    }
    loaded = data.load(task, cifar100[1])
    counts = {name: torch.bincount(getattr(loaded, name).labels).unique().tolist() for name in ("train", "val", "test")}
    assert counts == {"train": [450], "val": [50], "test": [100]}
    assert len(task.fine_classes) == 100


@pytest.mark.real_data
def test_coarse_labels_equal_the_official_ones_on_all_60000_images(cifar100: tuple[Path, Decoded]):
    root, decoded = cifar100
    task = registry.task("cifar100-superclass")
    official = {}
    for name in ("train", "test", "meta"):  # their MD5 has been checked by the fixture
        official[name] = pickle.loads((root / "cifar-100-python" / name).read_bytes(), encoding="latin1")
    assert list(task.coarse_classes) == official["meta"]["coarse_label_names"]
    assert set(task.fine_classes) == set(official["meta"]["fine_label_names"])
    coarse_of = dict(zip(task.fine_classes, task.fine_to_coarse, strict=True))
    for name, part in decoded.raw.parts.items():
        ours = [coarse_of[decoded.raw.classes[label]] for label in part.labels]
        np.testing.assert_array_equal(ours, official[name]["coarse_labels"])
        first = np.asarray(official[name]["data"][:100]).reshape(-1, 3, 32, 32)
        np.testing.assert_array_equal(part.images[:100], first)


@pytest.mark.real_data
def test_decoded_cache_stands_without_the_originals(cifar100: tuple[Path, Decoded], tmp_path: Path):
    again = data.decode(registry.task("cifar100-superclass").hierarchy, tmp_path / "nowhere")
    assert again.digest == cifar100[1].digest


@pytest.mark.real_data
def test_fashion_mnist_joins_by_name_and_a_changed_byte_is_refused(
    real_data: Callable[[str], Path], tmp_path: Path, make_request: Callable[..., Request]
):
    root = real_data("fashion-mnist")
    task = registry.task("fashion-mnist-groups")
    decoded = data.decode(task.hierarchy, root)
    assert set(decoded.raw.classes) == set(task.fine_classes)
    shapes = {name: part.images.shape for name, part in decoded.raw.parts.items()}
    assert shapes == {"train": (60_000, 1, 28, 28), "test": (10_000, 1, 28, 28)}
    test = data.load(task, decoded).test
    assert torch.bincount(test.labels).tolist() == [1000] * 10
    boots = test.images[test.labels == task.fine_classes.index("Ankle boot")]
    original = decoded.raw.parts["test"].labels == decoded.raw.classes.index("Ankle boot")
    np.testing.assert_array_equal(boots.numpy(), decoded.raw.parts["test"].images[original])

    shutil.copytree(root / "FashionMNIST", tmp_path / "FashionMNIST", ignore=shutil.ignore_patterns("*.gz"))
    labels = tmp_path / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    content = bytearray(labels.read_bytes())
    content[-1] ^= 1
    labels.write_bytes(content)
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte: corrupt, MD5 is not 15d4\w+; delete it and fetch"):
        torchvision_sets.read(make_request("torchvision/FashionMNIST", tmp_path))
