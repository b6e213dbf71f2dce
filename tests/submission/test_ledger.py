"""What a pull request may do to published rows: add, and replace with a reason."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import HIERARCHIES

from benchmark import cli
from benchmark.errors import InputError
from benchmark.store import Store
from benchmark.submission import accept

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(made_rows, tmp_path) -> Path:
    """A repository that has one of the two rows published in its last commit."""
    published = tmp_path / "repository" / "results" / "published"
    shutil.copytree(made_rows, published / "toy")
    git(tmp_path / "repository", "init", "-q")
    row = next(iter(sorted((published / "toy" / "cells").iterdir())))
    row.rename(tmp_path / row.name)
    Store(published / "toy").merge()
    commit(published)
    (tmp_path / row.name).rename(row)
    Store(published / "toy").merge()
    return published


def git(folder, *words):
    identity = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false", "-c", "core.autocrlf=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "x")


def review(published, against="HEAD"):
    terms = accept.Terms(published, datasets_dir=HIERARCHIES, data_root=Path("nowhere"))
    return accept.review(published, terms, against)


def problems(published, against="HEAD"):
    return [problem for outcome in review(published, against) for problem in outcome.problems]


def rows(published):
    """The new and the old row."""
    return sorted((published / "toy" / "cells").iterdir())


def test_a_new_row_is_computed_and_the_old_one_is_not(checkout):
    (checkout / "README.md").write_text("about the rows")
    whole, folder = review(checkout)
    assert (whole.problems, folder.problems, folder.num_rows) == ((), (), 1)
    whole, folder = review(checkout, "")
    assert (whole.problems, folder.problems, folder.num_rows) == ((), (), 2)


def test_a_row_may_not_vanish(checkout):
    rows(checkout)[1].unlink()
    Store(checkout / "toy").merge()
    deleted, idle = problems(checkout)
    assert "was deleted; rows are append-only" in deleted and "no row is computed from it" in idle


def test_a_folder_may_not_vanish(checkout):
    shutil.copytree(checkout / "toy", checkout / "tox")
    shutil.rmtree(checkout / "toy")
    found = problems(checkout)
    assert any("cells/" in line and "was deleted" in line for line in found)
    assert any("predictions/" in line and "was changed or deleted" in line for line in found)


def test_a_cell_may_not_be_published_twice(checkout):
    shutil.copytree(checkout / "toy", checkout / "aaa")
    assert any("is of a cell that toy has" in line for line in problems(checkout))


def change(checkout):
    path = rows(checkout)[1]
    record = json.loads(path.read_text())
    record["cost"]["pretrain_seconds"] = 1.0
    path.write_text(json.dumps(record))
    Store(checkout / "toy").merge()
    return path


def test_a_row_may_not_change_silently(checkout):
    change(checkout)
    (problem,) = problems(checkout)
    assert "was changed; rows are append-only" in problem


def test_a_row_may_change_when_history_keeps_it_with_a_reason(checkout):
    path = rows(checkout)[1]
    old = json.loads(path.read_text())
    change(checkout)
    folder = checkout / "toy" / "history"
    folder.mkdir()
    kept = folder / f"{path.stem}.00000000.json"
    for entry, is_enough in (
        ({"replaced_on": "2027-01-01", "reason": "", "row": old}, False),
        ({"replaced_on": "soon", "reason": "why", "row": old}, False),
        ({"replaced_on": "2027-01-01", "reason": "why", "row": {}}, False),
        ({"replaced_on": "2027-01-01", "reason": "why", "row": old}, True),
    ):
        kept.write_text(json.dumps(entry))
        assert (not problems(checkout)) == is_enough
    commit(checkout)
    kept.unlink()
    (problem,) = problems(checkout)
    assert "only grow" in problem


def test_what_accept_replaces_passes(checkout, forge):
    forge.published = checkout
    forge.write()
    assert not forge.accept().problems
    commit(checkout)
    forge.row(lambda record: record["cost"].update(pretrain_seconds=1.0))
    forge.write()
    assert not forge.accept(replace="the clock").problems
    assert not problems(checkout)


def test_predictions_may_not_change(checkout):
    key = rows(checkout)[1].stem
    path = next((checkout / "toy" / "predictions").glob(f"{key}.*"))
    path.write_bytes(path.read_bytes() + b"x")
    assert any("was changed or deleted" in line for line in problems(checkout))


def test_a_new_row_is_examined_like_a_submitted_one(checkout):
    path = rows(checkout)[0]
    text = path.read_text()
    path.write_text(text.replace('"seed": 0', '"seed": 1'))
    assert any("do not give its key" in line for line in problems(checkout))
    for content in (text.replace('"metric_version": ', '"metric_version": 9'), "[" * 100_000, ""):
        path.write_text(content)
        (problem,) = problems(checkout)
        assert path.name in problem and ("metric version 9" in problem or "not a row" in problem)
    assert any("not a row" in line for line in problems(checkout, ""))


@pytest.mark.parametrize(
    "name",
    ["cells/x.json", "run.py", "index.html", "cells/.hidden", "report/x.js", "predictions/x.pkl", "sub/store.py"],
)
def test_files_out_of_place(checkout, name):
    path = checkout / "toy" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    assert any("has no place among published rows" in line for line in problems(checkout))


def test_predictions_that_nobody_needs(checkout):
    (checkout / "toy" / "predictions" / f"{'0' * 20}.00000000.npz").write_bytes(b"ballast")
    assert any("no row is computed from it" in line for line in problems(checkout))


@pytest.mark.parametrize("name", ["index.html", "other/run.py", "README.txt"])
def test_files_beside_the_folders(checkout, name):
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("x")
    assert problems(checkout) == [f"{name}: has no place beside folders of published rows; take it out"]


def test_folders_that_are_links(checkout, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (checkout / "tox").symlink_to(tmp_path / "elsewhere")
    assert any("tox: has no place" in line for line in problems(checkout))


def test_links_out_of_the_folder(checkout, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("{}")
    (checkout / "toy" / "cells" / f"{'0' * 20}.json").symlink_to(secret)
    assert any("is no regular file" in line for line in problems(checkout))


def test_tables_that_are_not_those_of_the_rows(checkout):
    table = checkout / "toy" / "results.csv"
    table.write_text(table.read_text().replace("mixup", "better"))
    assert any("results.csv: is not what the rows say" in line for line in problems(checkout))


@pytest.mark.parametrize("ref", ["nowhere", "--help", "--output=x", "HEAD^9", ""])
def test_commits_that_are_none(checkout, ref):
    if ref:
        with pytest.raises(InputError, match="--against"):
            review(checkout, ref)
    else:
        assert not problems(checkout, ref)


def test_outside_a_checkout(made_rows):
    with pytest.raises(InputError, match="--against"):
        review(made_rows, "HEAD")


def test_the_workflow_runs_what_is_there_and_may_only_read(checkout, monkeypatch, capsys):
    workflow = yaml.safe_load((ROOT / ".github/workflows/published.yml").read_text())
    (trigger,) = workflow[True].items()  # YAML 1.1 reads `on` as a truth value
    assert trigger == ("pull_request", {"paths": ["results/published/**"]})
    assert workflow["permissions"] == {"contents": "read"}
    *_, last = workflow["jobs"]["accept"]["steps"]
    commit(checkout)
    (checkout / "README.md").write_text("rows")
    commit(checkout)
    monkeypatch.chdir(checkout.parents[1])
    monkeypatch.setattr(sys, "argv", shlex.split(last["run"]))
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    rows(checkout)[0].unlink()
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2 and "rows are append-only" in capsys.readouterr().out
