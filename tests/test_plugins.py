"""Plug-ins: a file or an entry point is a method, or an error that names its line."""

import importlib.metadata
import sys

import pytest

from benchmark import registry
from benchmark.errors import InputError
from benchmark.schema import METHOD_GROUP

SOUND = """\
from typing import ClassVar
from benchmark.methods.base import Family, InputMethod, parameters

@parameters
class Own(InputMethod):
    "As they are."
    title: ClassVar[str] = "Own"
    paper: ClassVar[str] = "none"
    year: ClassVar[int] = 2026
    family: ClassVar[Family] = "control"

    def mix(self, images, targets, rng):
        return images, targets
"""
ABSTRACT = SOUND[: SOUND.index("    def mix")]


@pytest.fixture(autouse=True)
def _fresh_registry(monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {})
    registry._installed_methods.cache_clear()
    yield
    registry._installed_methods.cache_clear()


@pytest.fixture
def plugin(tmp_path):
    def write(text, name="own.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_file_becomes_a_method_under_its_name(plugin):
    path = plugin(SOUND)
    registry.add_plugin(path)
    registry.add_plugin(path)  # twice is no clash
    assert registry.method("own", {}).title == "Own"
    assert registry.method_digest("baseline") == ""
    digest = registry.method_digest("own")
    assert len(digest) == 16 and int(digest, 16)
    plugin(SOUND + "# other\n")
    assert registry.method_digest("own") != digest


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\ny = 1 / 0\n", r"own\.py:2: ZeroDivisionError: division by zero\. Mend"),
        ("def f(:\n", r"own\.py:1: SyntaxError"),
        ("\nimport no_such_library\n", r"own\.py:2: ModuleNotFoundError: No module named 'no_such_library'"),
        ("\n\nfrom benchmark.rng import nope\n", r"own\.py:3: ImportError"),
        ("x = 1\n", r"own\.py:1: expected one Method subclass, found 0"),
        (
            SOUND + SOUND[SOUND.index("@parameters") :].replace("Own", "Two"),
            r"own\.py:\d+: expected one Method subclass, found 2 \(Own, Two\)",
        ),
        (ABSTRACT, r"own\.py:4: Own lacks mix; define it"),
        (SOUND.replace("@parameters\n", ""), r"own\.py:4: Own is not decorated with @parameters"),
        (SOUND.replace('    title: ClassVar[str] = "Own"\n', ""), r"own\.py:4: Own lacks title; add"),
        (SOUND.replace('"control"\n', '"control"\n    size: int\n'), r"own\.py:4: parameters without a default: size"),
    ],
)
def test_a_broken_file_is_an_error_with_its_line(plugin, text, problem):
    with pytest.raises(InputError, match=problem):
        registry.add_plugin(plugin(text))
    assert "own" not in registry.methods()


def test_a_file_that_is_missing_misnamed_or_takes_a_name_is_refused(plugin, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        registry.add_plugin(tmp_path / "absent.py")
    with pytest.raises(InputError, match="file names must match"):
        registry.add_plugin(plugin(SOUND, "My Own.py"))
    with pytest.raises(InputError, match="not a Python file"):
        registry.add_plugin(plugin(SOUND, "own.txt"))
    with pytest.raises(InputError, match="the name 'mixup' is taken; rename the file"):
        registry.add_plugin(plugin(SOUND, "mixup.py"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package with one entry point by laying its metadata on the path, as pip does."""

    def install(text, value="outsiders:Own", name="outside"):
        (tmp_path / "outsiders.py").write_text(text)
        info = tmp_path / "outsiders-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outsiders\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{METHOD_GROUP}]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "outsiders", raising=False)

    yield install
    sys.modules.pop("outsiders", None)


def test_an_entry_point_is_a_method(package):
    package(SOUND)
    assert registry.methods()["outside"].title == "Own"
    assert len(registry.method_digest("outside")) == 16


@pytest.mark.parametrize(
    ("text", "value", "name", "problem"),
    [
        (SOUND + "1 / 0\n", "outsiders:Own", "outside", r"of package outsiders: .*outsiders\.py:14: ZeroDivisionError"),
        (SOUND, "outsiders:Absent", "outside", r"of package outsiders: .*AttributeError.*Absent"),
        (SOUND, "outsiders:ClassVar", "outside", r"expected a Method subclass, found typing\.ClassVar"),
        (ABSTRACT, "outsiders:Own", "outside", r"outsiders\.py:4: Own lacks mix"),
        (SOUND, "outsiders:Own", "Out Side", r"names must match"),
        (SOUND, "outsiders:Own", "mixup", r"the name 'mixup' of an installed plug-in is taken"),
    ],
)
def test_a_broken_entry_point_is_never_silently_absent(package, text, value, name, problem):
    package(text, value, name)
    with pytest.raises(InputError, match=problem):
        registry.methods()
