"""The speed of scoring: verdicts by hand, every measurement on small sizes, what a user sees. No time is tested."""

import json
import math

import pytest

from benchmark import cli, speed_scores
from benchmark.errors import InputError
from benchmark.speed_scores import Line

SMALL = {
    "collapse": {"images": 600, "dims": 64, "coarse": 2, "fine": 6},
    "linear": {"images": 600, "tests": 300, "dims": 64, "fine": 4},
    "knn": {"images": 600, "tests": 100, "dims": 64, "fine": 4},
    "episodes": {"images": 600, "tests": 300, "dims": 64, "coarse": 2, "fine": 6},
    "leaderboard": {"tasks": 2, "methods": 3, "seeds": 3},
    "large": {"images": 20_000, "dims": 64, "coarse": 2, "fine": 6},
}
GENEROUS = {
    "seconds": 1.0,
    "memory": 0.9,
    "gigabytes": 0.9,
    "rank_seconds": 0.5,
    "reference_seconds": 2.0,
    "all_seconds": 9.0,
}


class Watch:
    def __init__(self):
        self.total = self.done = 0

    def begin(self, images):
        self.total = images

    def step(self, images):
        self.done += images


def lines(name, **changes):
    found = GENEROUS | {"accuracy": 0.7, "reference_accuracy": 0.7005} | changes
    return speed_scores._lines(name, speed_scores.SIZES[name], found)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("collapse", {"seconds": 5.1}),
        ("collapse", {"memory": 1.1}),
        ("large", {"gigabytes": 4.1}),
        ("linear", {"seconds": 2.1}),
        ("linear", {"accuracy": 0.6988}),
        ("linear", {"accuracy": 0.7022}),
        ("knn", {"seconds": 3.1}),
        ("episodes", {"seconds": 3.1}),
        ("leaderboard", {"seconds": 10.1}),
        ("leaderboard", {"gigabytes": 1.1}),
    ],
)
def test_each_limit_holds_up_to_its_value(name, change):
    assert not any(line.missed for line in lines(name))
    assert sum(line.missed for line in lines(name, **change)) == 1


def test_what_is_not_known_or_has_no_limit_is_not_missed():
    assert not Line("x", "", math.nan, limit=1).missed and not Line("x", "", 7.0).missed
    headings, rows = speed_scores.table(
        [Line("x", "a", math.nan, "GB", 4), Line("x", "b", 7.0), Line("x", "c", 2, "", 1)]
    )
    assert rows == [("a", "—", "≤ 4 GB", ""), ("b", "7 s", "", ""), ("c", "2", "≤ 1", "missed")]
    assert len(headings) == 4


@pytest.mark.parametrize("name", list(SMALL))
def test_every_measurement_has_its_figures(name):
    found = speed_scores.MEASUREMENTS[name](**SMALL[name])
    for part in speed_scores.FURTHER.get(name, ()):
        found |= speed_scores.MEASUREMENTS[part](**SMALL[name])
    made = speed_scores._lines(name, SMALL[name], found)
    assert all(math.isfinite(line.value) for line in made)
    assert found["seconds"] > 0
    if name == "linear":
        assert found["accuracy"] == pytest.approx(found["reference_accuracy"], abs=0.03)
        assert 0.3 < found["accuracy"] < 1
    if name == "large":
        assert found["gigabytes"] > 0.05


def test_a_measurement_in_a_process_of_its_own():
    assert speed_scores.in_child("knn", SMALL["knn"])["seconds"] > 0


def test_features_are_made_in_chunks_of_the_same_rows():
    whole = speed_scores._features(speed_scores.CHUNK + 100, 8, 4, seed=0)
    again = speed_scores._features(speed_scores.CHUNK + 100, 8, 4, seed=0)
    assert (whole == again).all() and whole.min() == 0 and whole.shape == (speed_scores.CHUNK + 100, 8)
    assert not (whole == speed_scores._features(speed_scores.CHUNK + 100, 8, 4, seed=1)).all()
    assert speed_scores._labels(10, 4).bincount().tolist() == [3, 3, 2, 2]


def test_a_measurement_that_fails_says_why():
    with pytest.raises(InputError, match=r"'knn' ended with code 1: TypeError.*suffice"):
        speed_scores.in_child("knn", {"image": 1})


def test_the_million_is_measured_on_request(monkeypatch):
    asked = []
    monkeypatch.setattr(
        speed_scores,
        "in_child",
        lambda name, sizes: asked.append(name) or {**GENEROUS, "accuracy": 1, "reference_accuracy": 1},
    )
    watch = Watch()
    speed_scores.measure(False, watch)
    assert asked == ["collapse", "memory", "linear", "knn", "episodes", "leaderboard"]
    assert watch.total == watch.done == 5
    speed_scores.measure(True, watch)
    assert asked[6:] == [*asked[:6], "large"]


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["c2f", "speed", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


@pytest.mark.parametrize(("value", "code"), [(0.5, 0), (1.5, 1)])
def test_the_command_shows_writes_and_judges(value, code, tmp_path, capsys, monkeypatch):
    made = [Line("a", "memory of a", value, "", 1), Line("a", "time of a", math.nan)]
    monkeypatch.setattr(speed_scores, "measure", lambda large, watch: made)
    file = tmp_path / "scores.json"
    found, out, _ = run(capsys, monkeypatch, "--scores", "--json", file)
    assert found == code and ("missed" in out) == bool(code) and "memory of a" in out
    figures = json.loads(file.read_text())["figures"]
    assert figures[0] == {
        "measurement": "a",
        "what": "memory of a",
        "value": value,
        "unit": "",
        "limit": 1,
        "missed": bool(code),
    }
    assert figures[1]["value"] is None and figures[1]["limit"] is None
    assert "|" in run(capsys, monkeypatch, "--scores", "--markdown")[1]


def test_the_command_refuses_in_one_line(tmp_path, capsys, monkeypatch):
    code, _, err = run(capsys, monkeypatch, "--large")
    assert code == 2 and "add --scores" in err and err.count("\n") == 1
    code, _, err = run(capsys, monkeypatch, "--scores", "--json", tmp_path / "nowhere" / "scores.json")
    assert code == 2 and "--json" in err and err.count("\n") == 1
