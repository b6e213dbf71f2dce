"""What a command imports before it does anything: torch, pandas and SciPy take seconds."""

import subprocess
import sys

import pytest

SLOW = ("torch", "timm", "torchvision", "pandas", "scipy", "sklearn", "matplotlib")
START = "import sys; from benchmark.cli import main; sys.argv = ['c2f', *sys.argv[1:]]\n"


def imported(*arguments):
    """The slow libraries that a command has imported when it ends."""
    code = f"{START}try:\n main()\nfinally:\n sys.stderr.write(repr([n for n in {SLOW} if n in sys.modules]))"
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return ended.stderr


@pytest.mark.parametrize("kind", ["tasks", "methods", "backbones", "suites", "recipes", "metrics"])
def test_a_list_imports_nothing_slow(kind):
    assert imported("list", kind) == "[]"


def test_help_imports_nothing_slow():
    assert imported("--help") == imported("--version") == "[]"


def test_what_calls_for_torch_is_seen():
    assert "torch" in imported("show", "backbone", "resnet18-thin")
