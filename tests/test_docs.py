"""The documentation: its tutorials are run, every command line of it parses, and it builds without a warning."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from benchmark.cli import app

ROOT = Path(__file__).parents[1]
RUN = [ROOT / "docs/start.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "results/published/README.md", *ROOT.glob("docs/**/*.md")]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"\A# (\S+\.py)\n")


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_tutorial_can_be_followed(page, tmp_path):
    blocks = BLOCK.findall(page.read_text())
    assert any(language == "sh" for language, _ in blocks)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "C2F_CACHE": str(tmp_path / "cache")}
    for language, code in blocks:
        named = NAMED.match(code)
        if language == "python" and named:
            (tmp_path / named[1]).write_text(code)
            continue
        command = ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{code}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def command_lines():
    """Every line of a shell block that calls the program; some lines hold several calls side by side."""
    for page in PAGES:
        for _, code in (block for block in BLOCK.findall(page.read_text()) if block[0] == "sh"):
            for line in code.replace("\\\n", " ").splitlines():
                for call in re.findall(r"(?:^|\s{2,}|&& )(?:c2f|python run_benchmark\.py) ((?:(?!\s{3,}|&&).)+)", line):
                    yield pytest.param(call, id=f"{page.stem}: {call[:50]}")


@pytest.mark.parametrize("call", list(command_lines()))
def test_a_command_line_of_the_docs_parses(call):
    words = shlex.split(call, comments=True)
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    context = command.make_context(command.name, words)  # raises for an option or argument that does not exist
    assert context.command is command


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="the docs extra is not installed")
    built = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(built)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(built).as_posix() for path in built.rglob("*.html")}
    assert {"index.html", "tutorials/hierarchy.html", "reference/cli.html", "reference/metrics.html"} <= pages
    text = (built / "reference/metrics.html").read_text()
    assert "subclass_separability" in text and "fine_linear_acc" in text
