"""Fixtures: a generator seeded by the test's name, a toy task, a private cache, and real data where it is at hand."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmark import data, registry
from benchmark.data import Decoded
from benchmark.schema import Cell, Recipe, Task

HERE = Path(__file__).parent
HIERARCHIES = HERE / "hierarchies"
REAL_DATA = HERE.parents[1] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("C2F_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("C2F_DATA_ROOT", raising=False)
        yield


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> torch.Generator:
    """A generator whose seed is the test's own name: stable, and different between tests."""
    name = hashlib.sha256(request.node.name.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(name[:7], "big"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small problems solved in many steps only wait for a second thread, the longer the busier the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def toy_task() -> Task:
    """Three coarse classes of 2, 3 and 2 fine ones; 16 px synthetic colour images."""
    return registry.task("toy", HIERARCHIES)


@pytest.fixture(scope="session")
def toy_images(toy_task: Task) -> Decoded:
    return data.decode(toy_task.hierarchy, Path("nowhere"))


@pytest.fixture(scope="session")
def toy_recipe() -> Recipe:
    return Recipe(name="toy", title="", epochs=2, batch_size=16, lr=0.05, precision="fp32")


@pytest.fixture
def toy_cell(toy_task: Task, toy_images: Decoded, toy_recipe: Recipe) -> Callable[..., Cell]:
    """Makes cells of the toy task; `test_resnet` is timm's smallest ResNet."""

    def make(method: str = "baseline", seed: int = 0, recipe: Recipe = toy_recipe, **params: float) -> Cell:
        resolved = registry.method(method, params).params
        return Cell(toy_task, toy_images.digest, method, resolved, "test_resnet", {}, recipe, seed)

    return make


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpacks a real data set once; skips where the data do not lie beside the checkout."""
    root = tmp_path_factory.mktemp("real")

    def unpack(name: str) -> Path:
        if not (REAL_DATA / "unpack").is_file():
            pytest.skip(f"no real data at {REAL_DATA}")
        subprocess.run([sys.executable, REAL_DATA / "unpack", root, name], check=True, capture_output=True)
        return root

    return unpack
