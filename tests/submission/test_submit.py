"""What is made into an archive, and what is not."""

import json
import zipfile

import pytest
from conftest import HIERARCHIES
from submission.forge import snapshot

from benchmark.errors import InputError
from benchmark.store import Store
from benchmark.submission import submit


def request(results, tmp_path, **changes):
    plain = {"name": "toy", "paper": "arXiv:2701.00001", "contact": "", "out": tmp_path / "toy.zip"}
    return submit.Request(results=results, datasets_dir=HIERARCHIES, **(plain | changes))


def refusal(results, tmp_path, **changes):
    before = snapshot(tmp_path)
    found = submit.submit(request(results, tmp_path, **changes))
    assert isinstance(found, submit.Refused) and snapshot(tmp_path) == before
    return found.problems


def edit(results, change):
    path = min((results / "cells").glob("*.json"))
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_the_archive_holds_rows_predictions_and_hashes_and_nothing_else(results, tmp_path, honest):
    (results / "features").mkdir()
    (results / "features" / "00000000000000000000.safetensors").write_bytes(b"large")
    made = submit.submit(request(results, tmp_path))
    assert isinstance(made, submit.Submitted)
    with zipfile.ZipFile(made.archive) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
    assert names[0] == "manifest.json" and sorted(names[1:]) == names[1:] and len(names) == 5
    assert set(manifest["files"]) == set(names[1:]) and manifest["metric_version"] == made.manifest.metric_version
    assert made.archive.read_bytes() == honest.read_bytes()  # made at another time, in another folder
    said = submit.report(made)
    assert "2 rows" in said and "c2f accept" in said and "MB" in said


def test_it_is_made_again_but_never_over_another_file(results, tmp_path):
    for _ in range(2):
        assert isinstance(submit.submit(request(results, tmp_path)), submit.Submitted)
    with pytest.raises(InputError, match="is there already"):
        submit.submit(request(results, tmp_path, paper="another"))


def test_a_row_that_does_not_come_out_is_refused_whatever_is_asked(results, tmp_path):
    def change(record):
        line = next(line for line in record["figures"] if line["metric"] == "fine_knn_acc" and not line["superclass"])
        line["value"] = line["value"] / 2

    edit(results, change)
    for incomplete in (False, True):
        (problem,) = refusal(results, tmp_path, incomplete=incomplete)
        assert "different when computed again: fine_knn_acc, test" in problem


def other_seed(results, reason=""):
    """A third cell that failed, or one whose seed others lack."""
    from benchmark.verify import cell_of

    store = Store(results)
    cell = cell_of(next(store.records())["cell"], HIERARCHIES)
    store.fail(
        type(cell)(**{n: getattr(cell, n) for n in cell.__dataclass_fields__} | {"seed": 7}), reason, "/home/me", 1.0
    )


def test_failed_cells_and_missing_seeds_are_told_and_published_on_request(results, tmp_path):
    other_seed(results, "diverged")
    failed, missing = refusal(results, tmp_path)
    assert failed.endswith("seed 7: failed (diverged)") and "no seed 7, which other methods have" in missing
    made = submit.submit(request(results, tmp_path, incomplete=True))
    assert made.manifest.incomplete == [failed, missing]
    with zipfile.ZipFile(made.archive) as archive:
        (name,) = [name for name in archive.namelist() if name.startswith("failures/")]
        assert b"/home/me" not in archive.read(name) and json.loads(archive.read(name))["reason"] == "diverged"


def test_rows_without_predictions_are_told(results, tmp_path):
    min((results / "predictions").glob("*.npz")).unlink()
    (problem,) = refusal(results, tmp_path)
    assert "its predictions are not there" in problem
    made = submit.submit(request(results, tmp_path, incomplete=True))
    assert sum(name.startswith("cells/") for name in made.manifest.files) == 1


def test_rows_of_another_metric_version_are_told(results, tmp_path):
    edit(results, lambda record: record["cell"].update(metric_version=1))
    problems = refusal(results, tmp_path)
    assert "1 rows are of metric version 1" in problems[0]


def test_nothing_to_publish(results, tmp_path):
    for path in (results / "predictions").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no finished row"):
        submit.submit(request(results, tmp_path, incomplete=True))
    with pytest.raises(InputError, match="no results folder"):
        submit.submit(request(tmp_path, tmp_path))


@pytest.mark.parametrize(
    "wrong",
    [{"name": "../x"}, {"name": "X"}, {"name": "con"}, {"paper": ""}, {"paper": "a\nb"}, {"contact": "\x1b[2J"}],
)
def test_names_and_texts(results, tmp_path, wrong):
    with pytest.raises(InputError, match=f"--{next(iter(wrong))}"):
        submit.submit(request(results, tmp_path, **wrong))
