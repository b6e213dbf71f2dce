"""Documents of `c2f speed`: what is written is read again, and what counts as a regression."""

import dataclasses
import json
import math

import pytest
import torch

from benchmark import speed_document
from benchmark.errors import InputError
from benchmark.speed import Line, Setting
from benchmark.speed_parts import Part

SETTING = Setting("resnet18-thin", 32, 128, "fp32", torch.device("cpu"))
BARE = Line("bare step", 80, 1600, 1.0, 0.8, (0.78, 0.82), 12.5)
BASELINE = Line("baseline", 100, 1280, 1.25, 1.0, (1.0, 1.0))
MIXUP = Line("mixup", 110, 1160, 1.375, 1.1, (1.09, 1.11))
LINES = [BARE, BASELINE, MIXUP]


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.json"
    parts = [Part("baseline", "gather", 1.0, 1.0, 0.25)]
    path.write_text(speed_document.write(SETTING, 7, LINES, parts))
    return path


def slower(line, factor):
    """The line with all of its ratios grown."""
    low, high = line.quartiles
    return dataclasses.replace(
        line,
        to_bare=line.to_bare * factor,
        to_baseline=line.to_baseline * factor,
        quartiles=(low * factor, high * factor),
    )


def regressed(old, lines, threshold=1.05):
    changes, _ = speed_document.compare(old, SETTING, lines, threshold)
    return [change.name for change in changes if change.regressed]


def test_a_document_holds_all_figures(old):
    values = json.loads(old.read_text())
    assert values["lines"][0] == {**dataclasses.asdict(BARE), "quartiles": [0.78, 0.82]}
    assert values["lines"][1]["memory_mb"] is None and math.isnan(BASELINE.memory_mb)
    assert values["parts"][0]["name"] == "gather" and values["rounds"] == 7
    assert values["setting"]["precision"] == "fp32" and values["machine"]["torch"] == torch.__version__


def test_the_same_figures_are_no_regression(old):
    changes, notes = speed_document.compare(old, SETTING, LINES, 1.05)
    assert [(change.name, change.old, change.new) for change in changes] == [
        ("bare step", 1.0, 1.0),
        ("baseline", 1.25, 1.25),
        ("mixup", 1.375, 1.375),
    ]
    assert not any(change.regressed for change in changes) and notes == []


def test_milliseconds_do_not_count(old):
    assert regressed(old, [dataclasses.replace(line, milliseconds=9 * line.milliseconds) for line in LINES]) == []


@pytest.mark.parametrize(("factor", "threshold", "found"), [(1.1, 1.05, ["mixup"]), (1.04, 1.05, []), (1.1, 1.2, [])])
def test_a_method_that_grows_beyond_the_threshold_regresses(old, factor, threshold, found):
    assert regressed(old, [BARE, BASELINE, slower(MIXUP, factor)], threshold) == found


def test_growth_within_the_noise_is_none(old):
    noisy = dataclasses.replace(slower(MIXUP, 1.1), quartiles=(1.0, 1.4))
    assert regressed(old, [BARE, BASELINE, noisy]) == []


def test_a_baseline_that_grows_regresses_with_what_is_compared_with_it(old):
    # The baseline takes a tenth more: the bare step is 1 / 1.1 of what it was to it, and all ratios to bare grow.
    bare = dataclasses.replace(BARE, to_baseline=0.8 / 1.1, quartiles=(0.78 / 1.1, 0.82 / 1.1))
    baseline = dataclasses.replace(BASELINE, to_bare=1.25 * 1.1)
    assert regressed(old, [bare, baseline]) == ["baseline"]


def test_another_machine_is_noted(old):
    values = json.loads(old.read_text())
    values["machine"]["torch"] = "1.0"
    old.write_text(json.dumps(values))
    _, notes = speed_document.compare(old, SETTING, LINES, 1.05)
    assert notes == [f"torch was '1.0', is {torch.__version__!r}"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 2}, "format 2, expected 1"),
        ({"lines": []}, "it has no bare step"),
        ({"lines": [{"name": "x"}]}, r"lines.0.to_bare is not as"),
        ({"setting": {**dataclasses.asdict(SETTING), "batch_size": 64, "device": "cpu"}}, "batch_size 64 and not 128"),
    ],
)
def test_what_cannot_be_compared_is_refused(old, change, complaint):
    old.write_text(json.dumps({**json.loads(old.read_text()), **change}))
    with pytest.raises(InputError, match=f"--compare .*{complaint}.*; measure"):
        speed_document.read(old, SETTING)


def test_files_that_are_no_documents_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read .*; name another"):
        speed_document.read(tmp_path / "none.json", SETTING)
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(InputError, match=r"the file is not as .*; measure anew"):
        speed_document.read(tmp_path / "text.json", SETTING)
    (tmp_path / "large.json").write_bytes(b" " * (speed_document.MOST_BYTES + 1))
    with pytest.raises(InputError, match="larger than 1 MiB; name"):
        speed_document.read(tmp_path / "large.json", SETTING)


def test_tables_have_a_row_for_each(old):
    changes, _ = speed_document.compare(old, SETTING, [BARE, BASELINE, slower(MIXUP, 1.1)], 1.05)
    headings, rows = speed_document.change_table(changes)
    assert rows == [("baseline", "1.250", "1.250", "1.000", ""), ("mixup", "1.375", "1.513", "1.100", "regressed")]
    assert len(headings) == 5
    assert speed_document.part_table([Part("a", "gather", 1.0, 0.5, 0.25)])[1] == [
        ("a", "gather", "1.00", "0.50", "25.0%")
    ]
