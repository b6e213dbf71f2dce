"""Leaderboards as files: golden Markdown and LaTeX, every figure in the CSV, names that would break a table."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from results_rows import build, row, rows

from benchmark.errors import InputError
from benchmark.report import publication

GOLDEN = Path(__file__).parent / "golden"
SHOWN = ("coarse_acc", "rankme", "pretrain_seconds")


@pytest.fixture
def found(monkeypatch):
    """Two comparisons, one of them with a failed, a missing and an outdated cell, and a method of one seed."""
    monkeypatch.setattr("benchmark.__version__", "0.0.0")
    failed = row("cutmix", 1, None, status="failed", reason="loss became nan at epoch 3")
    given = [
        *rows(task="digits-halves", recipe_params='{"epochs": 8, "lr": 0.1}'),
        *rows(task="fashion_mnist", recipe_params='{"epochs": 8, "lr": 0.1}'),
        *(
            given | {"task": "digits-halves", "recipe_params": '{"epochs": 8, "lr": 0.1}'}
            for given in (failed, row("cutmix", 0, 0.71), row("mixup", 5, 0.7, metric_version=1))
        ),
    ]
    return build(given, columns=SHOWN)


@pytest.mark.parametrize(("name", "write"), [("md", publication.markdown), ("tex", publication.latex)])
def test_texts_are_the_golden_ones(found, name, write):
    """To change them on purpose: write the text to the file, and read the difference."""
    assert write(found) == (GOLDEN / f"leaderboard.{name}").read_text(encoding="utf-8")


def test_every_line_and_figure_is_in_the_csv(found, tmp_path):
    publication.write(found, tmp_path)
    read = pd.read_csv(tmp_path / "leaderboard.csv")
    assert len(read) == sum(len(board.lines) for board in found.boards)
    for board in found.boards:
        own = read[read["task"] == board.group["task"]].set_index("label")
        for line in board.lines.to_dict("records"):
            figures = [name for name, value in line.items() if isinstance(value, float) and value == value]
            assert own.loc[line["label"], figures].tolist() == pytest.approx([line[name] for name in figures])


def test_every_cell_is_accounted_for(found):
    text = publication.markdown(found)
    assert "failed: cutmix, seed 1: loss became nan at epoch 3" in text
    assert "missing: cutmix, seed 2 (other methods have it)" in text
    assert "digits-halves in results/x: 1 row (metric version 1, now" in text
    assert "Fewer than 3 seeds, shown and not ranked: cutmix." in text


def test_a_board_of_too_few_seeds_has_no_ranks_over_boards():
    found = build([*rows(), *rows(task="other"), *rows(task="third", seeds=[0])], columns=())
    head = next(line for line in publication.markdown(found).splitlines() if line.startswith("| method"))
    assert head.count("recipe") == 2 and "third" not in head


def test_names_and_reasons_cannot_break_a_table():
    hostile = "a|b\n\n<script>alert(1)</script> \\input{x} $_^&%#~{}"
    given = [*rows(), row(hostile, 0, 0.5), row("mixup", 7, None, status="failed", reason=hostile)]
    made = build(given, columns=SHOWN)
    text = publication.markdown(made)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1
    assert "<script>" not in text
    tex = publication.latex(made)
    assert r"\input{" not in tex
    assert r"\textbackslash{}input\{x\}" in tex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX here")
def test_latex_compiles(found, tmp_path):
    (tmp_path / "board.tex").write_text(publication.latex(found), encoding="utf-8")
    document = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{board}\end{document}"
    (tmp_path / "page.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-2000:]


def test_a_folder_that_cannot_be_written_is_told_in_a_line(found, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another folder with --out"):
        publication.write(found, tmp_path / "file" / "out")


def test_figures_are_shown_with_signs_and_dashes():
    shown = publication.cells(build([*rows(), row("cutmix", 0, 0.5)], columns=()).boards[0])
    assert shown["method"].tolist()[-1] == "cutmix"
    assert shown.iloc[-1][["rank", "p"]].tolist() == ["—", "—"]
    reference = shown[shown["method"].str.contains("baseline")].iloc[0]
    assert reference["Δ baseline [95 %]"] == "—"
    assert shown.iloc[0]["Δ baseline [95 %]"].startswith("+20.0 [+1")
    assert [publication.p_value(p) for p in (0.0004, 0.0123, 1.0, float("nan"))] == ["<0.001", "0.012", "1", "—"]
