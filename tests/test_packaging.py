"""The shape of the project: import directions, package list, a wheel that carries its YAMLs, the fixed top level."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "benchmark"

# Imports go from a later layer to an earlier one, or stay inside one.
LAYERS = [
    ["errors", "speed_memory"],
    ["metrics"],
    ["schema"],
    ["documents", "rng", "breeds", "resampling", "checkpoint", "distributed"],
    ["hierarchy", "variants"],
    ["small_backbones"],
    ["data", "backbones"],
    ["methods", "compiling"],
    ["plugins", "conformance"],
    ["registry"],
    ["authoring", "method_cards"],
    ["drafts"],
    ["pretrain"],
    ["features", "archive", "resampling"],
    ["probes", "collapse"],
    ["figures", "tracking"],
    ["scorer"],
    ["provenance"],
    ["cell"],
    ["store", "report"],
    ["claims", "jobs"],
    ["launchers", "status"],
    ["speed_leaderboard", "sweep", "speed", "check", "doctor", "external", "verify"],
    ["speed_scores", "standing", "submission", "plan", "tensorboard"],
    ["speed_around", "speed_parts", "speed_start", "speed_timm"],
    ["speed_document"],
    ["options", "catalogue", "console", "events"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def unit(parts):
    """`benchmark.data.cache` -> `data`; the package itself -> empty."""
    return parts[1] if len(parts) > 1 and parts[0] == "benchmark" else ""


def imported_units(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "benchmark":
            parts = node.module.split(".")
            yield from [unit(parts)] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (unit(alias.name.split(".")) for alias in node.names if alias.name.startswith("benchmark."))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for other in imported_units(path):
        assert LEVEL[other] <= LEVEL[own], f"{own} imports {other}"
        if own in ("store", "report"):
            assert other in ("errors", "metrics", "schema", own), f"{own} must know the schema only, not {other}"
        if LEVEL[other] == LEVEL[own]:
            assert other == own, f"{own} and {other} stand side by side"


def test_the_report_never_imports_torch():
    of_report = sorted(path.stem for path in (PACKAGE / "report").glob("[a-z]*.py"))
    modules = ", ".join(["benchmark.store", *(f"benchmark.report.{name}" for name in of_report)])
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_package_is_listed():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    holding = {path.parent for pattern in ("*.py", "*.yaml") for path in PACKAGE.rglob(pattern)}
    assert listed == {".".join(path.relative_to(ROOT).parts) for path in holding} | {"benchmark.hierarchies"}


def test_the_top_level_is_what_was_agreed():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {name.split("/")[0] for name in tracked if "/" in name}
    assert folders <= {"benchmark", "datasets", "results", "tests", "docs", ".ci", ".github"}
    assert not [name for name in tracked if name.startswith("datasets/") and name.endswith(".py")]
    assert not [
        name
        for name in tracked
        if name.startswith("results/") and not name.startswith(("results/published/", "results/README"))
    ]


def test_the_script_is_three_lines():
    body = ast.parse((ROOT / "run_benchmark.py").read_text()).body
    assert len(body) == 3  # docstring, import, call


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_runs_elsewhere_with_its_own_yamls(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    wanted = {f"benchmark/hierarchies/{path.name}" for path in (ROOT / "datasets").glob("*.*") if path.suffix != ".md"}
    wanted |= {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.yaml")}
    kinds = ("*.py", "*.txt", "*.html", "*.css", "*.js")
    wanted |= {str(path.relative_to(ROOT)) for pattern in kinds for path in PACKAGE.rglob(pattern)}
    assert wanted <= names
    assert not any(name.startswith(("datasets/", "results/", "tests/")) for name in names)
    code = (
        "import sys; sys.path.insert(0, 'site'); import benchmark; assert 'site' in benchmark.__file__;"
        "sys.argv = ['c2f', 'run', '--seeds', '0', '--methods', 'baseline', '--set', 'recipe.epochs=2', '--quiet'];"
        "from benchmark.cli import main; main()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "results" / "quickstart" / "results.csv").read_text().count("\n") == 2
