"""The site as files: pages, links, escaping, figures; what a browser makes of it is in test_browser.py."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from leaderboards import built, names, rows
from safetensors.numpy import save_file

from benchmark.errors import InputError
from benchmark.report import publication, site, site_table
from benchmark.report.board import About

HOSTILE = '<script>alert("1")</script>'
ABOUT = {"baseline": About("Baseline", "control"), "method_001": About("One", "input mixing", "arXiv:1", 2020)}


class Page(HTMLParser):
    """What tests ask of a page: links, ids, text, elements."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.specs, self._raw = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._raw = dict(attrs).get("type") if tag == "script" else None

    def handle_data(self, data):
        (self.specs if self._raw == "application/json" else self.texts).append(data)

    def handle_endtag(self, tag):
        self._raw = None

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.texts))

    def all(self, name):
        return [attrs[name] for _, attrs in self.elements if attrs.get(name) is not None]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two boards of six methods: a failed and a missing cell, one with two seeds, one outdated row."""
    first, second = rows(names(6), task="flowers"), rows(names(6), task="birds", seeds=4)
    failed = (first["method"] == "method_004") & (first["seed"] == 2)
    first.loc[failed, ["status", "reason"]] = ["failed", "loss is not finite in epoch 3"]
    first = first.drop(first[(first["method"] == "method_005") & (first["seed"] == 1)].index)
    old = rows(["baseline"], task="old").assign(metric_version=1)
    folder = tmp_path_factory.mktemp("site")
    return site.write(built(first, second, old), folder, ABOUT).parent


@pytest.fixture(scope="module")
def pages(written):
    return {path.relative_to(written).as_posix(): Page(path.read_text()) for path in written.rglob("*.html")}


def test_there_is_a_page_for_each_board_and_each_method(pages):
    tasks = {f"task/{task}-net-quick.html" for task in ("flowers", "birds")}
    assert set(pages) == {"index.html", *tasks, *(f"method/{name}.html" for name in names(6))}


def test_every_link_leads_to_something_in_the_folder(written, pages):
    for name, page in pages.items():
        for link in page.all("href") + page.all("src"):
            target = urlparse(link)
            assert not target.netloc, f"{name}: {link} leaves the site"
            if target.scheme == "data":
                continue
            file = (written / name).parent / unquote(target.path) if target.path else written / name
            assert file.is_file(), f"{name}: {link}"
            if target.fragment:
                other = pages[file.resolve().relative_to(written.resolve()).as_posix()]
                assert target.fragment in other.all("id"), f"{name}: {link}"


def test_ids_are_unique(pages):
    for name, page in pages.items():
        assert len(set(page.all("id"))) == len(page.all("id")), name


def test_every_control_and_table_has_a_name(pages):
    for page in pages.values():
        tags = [tag for tag, _ in page.elements]
        assert tags.count("h1") == 1 and tags.count("main") == 1
        assert dict(page.elements[0][1]) == {"lang": "en"} or page.elements[0][0] == "html"
        scrolling = [attrs for _, attrs in page.elements if attrs.get("class") == "frame"]
        assert all(attrs.get("aria-label") and attrs.get("tabindex") == "0" for attrs in scrolling)


def test_the_figures_of_a_line_are_those_of_the_board(written):
    frame = rows(names(3), sd=0)  # 0.9, 0.7667, 0.6333 in every seed
    found = built(frame)
    board = found.boards[0]
    heads = site_table.heads_of([board])
    shown = site_table.shown(board, heads, ABOUT)
    cells = shown.lines[1].cells
    assert cells["fine_linear_acc"].text == "76.7"
    assert cells["difference"].text == "\N{MINUS SIGN}13.3"
    assert cells["coarse_acc"].text == f"{100 * (0.97 - 0.1 * 0.76667**2):.1f}"
    assert cells["pretrain_seconds"].text == "11.0"
    assert cells["seeds"].text == "3" and shown.lines[1].remark == ""
    assert float(cells["fine_linear_acc"].sort) == pytest.approx(0.76667, abs=1e-5)
    assert shown.lines[0].family == "control" and shown.lines[2].family == "unknown"


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (0.12345, "fine_linear_acc", "12.3"),
        (1.0, "coarse_acc", "100.0"),
        (0.01234, "alignment_fine", "0.012"),
        (-2.345, "uniformity", "−2.35"),
        (12.34, "rankme", "12.3"),
        (1234.5, "pretrain_seconds", "1234.5"),
        (np.nan, "rankme", "–"),
        (np.inf, "nc1_fine", "–"),
    ],
)
def test_a_value_has_the_decimals_it_deserves(value, name, text):
    assert site_table.figure(value, name) == text


def test_zero_has_no_sign():
    assert site_table.figure(-0.0001, "fine_linear_acc", signed=True) == "0.0"
    assert site_table.figure(0.01, "fine_linear_acc", signed=True) == "+1.0"


def test_few_seeds_failures_and_gaps_are_named(pages):
    text = pages["index.html"].text
    assert "failed: seed 2: loss is not finite in epoch 3" in text
    assert "missing: seed 1" in text
    assert text.count("not ranked") >= 2
    assert "loss is not finite in epoch 3" in pages["method/method_004.html"].text


def test_rows_that_no_longer_count_are_shown_with_the_reason(pages):
    assert "Rows that no longer count" in pages["index.html"].text
    assert "metric version 1" in pages["index.html"].text
    assert "old-net" not in " ".join(pages)


def test_a_board_without_ranks_says_so(tmp_path):
    site.write(built(rows(names(2), seeds=1)), tmp_path, {})
    page = Page((tmp_path / "task" / "toy-net-quick.html").read_text())
    assert "nothing is ranked" in page.text and "not ranked" in page.text


def test_provenance_has_every_row_and_shares_what_all_have(written):
    text = (written / "assets" / "data" / "birds-net-quick.js").read_text()
    name, data = json.loads("[" + re.fullmatch(r"c2f\.receive\((.*)\);\n", text, re.DOTALL)[1] + "]")
    assert name == "birds-net-quick"
    assert len(data["labels"]) == 24 and set(data["labels"]) == set(names(6))
    assert data["columns"]["git_commit"] == "e" * 40
    assert len(data["columns"]["key"]) == 24


def test_the_foot_says_what_the_other_documents_say(pages):
    board = built(rows(names(2))).boards[0]
    said = re.findall(r"^- \*\*(.+?)\*\*", publication.foot(board), re.MULTILINE)
    assert len(said) > 3
    for name in said:
        assert name in ("Bold", "±") or f"{name}: " in pages["index.html"].text
    assert "Green mark: the tie group of the best" in pages["index.html"].text
    assert "**" not in pages["index.html"].text


def test_names_and_reasons_stay_text(tmp_path):
    frame = rows(["baseline", HOSTILE, "a'b\"c&d"], task=HOSTILE, folder=HOSTILE)
    bad = frame.tail(1).assign(seed=9, status="failed", reason=HOSTILE, key="zz")
    old = rows([HOSTILE], task="x").assign(metric_version=1)
    about = {HOSTILE: About(HOSTILE, "unknown", HOSTILE)}
    site.write(built(frame.assign(command=HOSTILE), bad, old), tmp_path, about)
    for path in tmp_path.rglob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text
        assert "alert(" in text or "c-d" in path.name or path.name == "baseline.html"
        assert not [tag for tag, attrs in Page(text).elements if any(key.startswith("on") for key in attrs)]
        scripts = [attrs for tag, attrs in Page(text).elements if tag == "script"]
        assert all(attrs.get("src") or attrs.get("type") == "application/json" for attrs in scripts)


def test_charts_are_json_without_nan(pages):
    assert any(page.specs for page in pages.values())
    for page in pages.values():
        for spec in page.specs:
            json.loads(spec, parse_constant=lambda name: pytest.fail(f"{name} in a chart"))


def test_the_same_leaderboard_is_the_same_site(tmp_path):
    found = built(rows(names(4)))
    for folder in ("one", "two"):
        site.write(found, tmp_path / folder, ABOUT)
    one, two = (
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two


def test_pages_of_an_earlier_site_go_and_other_files_stay(tmp_path):
    site.write(built(rows(names(4))), tmp_path, {})
    (tmp_path / "method" / "notes.html").write_text("mine")
    (tmp_path / "paper.txt").write_text("mine")
    site.write(built(rows(names(3), task="other")), tmp_path, {})
    assert not (tmp_path / "method" / "method_003.html").exists()
    assert not (tmp_path / "task" / "toy-net-quick.html").exists()
    assert not (tmp_path / "assets" / "data" / "toy-net-quick.js").exists()
    assert (tmp_path / "method" / "notes.html").read_text() == (tmp_path / "paper.txt").read_text() == "mine"


def test_files_beside_the_page_are_linked(tmp_path):
    (tmp_path / "leaderboard.csv").write_text("x")
    site.write(built(rows(names(2))), tmp_path, {})
    links = Page((tmp_path / "index.html").read_text()).all("href")
    assert "leaderboard.csv" in links and "leaderboard.tex" not in links


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write there .*--out"):
        site.write(built(rows(names(2))), tmp_path / "file", {})


def test_kept_features_are_drawn_by_coarse_and_fine_label(tmp_path):
    frame = rows(names(2))
    labels = np.arange(60) % 4
    values = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32) + labels[:, None]
    save_file({"features.test": values, "labels.test": labels.astype(np.int64)}, tmp_path / "kept.safetensors")
    classes = [("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")]
    key = frame.loc[frame["method"] == "method_001", "key"].iloc[0]
    site.write(built(frame), tmp_path / "out", {}, {key: tmp_path / "kept.safetensors"}, {"toy": classes})
    page = Page((tmp_path / "out" / "method" / "method_001.html").read_text())
    assert {"toy-net-quick-features-coarse", "toy-net-quick-features-fine"} <= set(page.all("id"))
    assert not [
        one for one in Page((tmp_path / "out" / "method" / "baseline.html").read_text()).all("id") if "feat" in one
    ]


def test_five_hundred_methods_do_not_make_a_heavy_page(tmp_path):
    site.write(built(rows(names(500))), tmp_path, {})
    assert (tmp_path / "index.html").stat().st_size < 2e6
    assert (tmp_path / "method" / "method_499.html").stat().st_size < 2e5


def test_text_and_marks_can_be_told_from_the_paper():
    style = (site.resources.files("benchmark.report") / "assets" / "site.css").read_text(encoding="utf-8")
    colours = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)}
    assert len(colours) > 10
    for theme in (0, 1):
        ground = {name: luminance(colours[name][theme]) for name in ("paper", "raised", "hover", "tied")}
        for name, needed in {"ink": 7, "muted": 4.5, "link": 4.5, "warn": 4.5, "c1": 3, "tied-mark": 3}.items():
            ink = luminance(colours[name][theme])
            ratios = [(max(ink, one) + 0.05) / (min(ink, one) + 0.05) for one in ground.values()]
            assert min(ratios) >= needed, (name, theme, min(ratios))


def luminance(colour):
    """WCAG 2's relative luminance."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_whiskers_lie_on_the_scale_of_the_board():
    board = built(rows(names(5))).boards[0]
    shown = site_table.shown(board, site_table.heads_of([board]), {})
    for line, mean in zip(shown.lines, board.lines["fine_linear_acc"], strict=True):
        assert 0 <= line.whisker.low <= line.whisker.mean <= line.whisker.low + line.whisker.width <= 100.01, mean
    places = [line.whisker.mean for line in shown.lines]
    assert places == sorted(places, reverse=True)
    assert shown.reference_at == shown.lines[[line.reference for line in shown.lines].index(True)].whisker.mean


@pytest.mark.parametrize(
    ("tied", "said"),
    [
        ((True, True, True, True), "none of the others can be told from it."),
        ((True, True, False, False), "1 of the 3 other methods cannot be told from it."),
        ((True, False, False, False), "all others are significantly below it."),
    ],
)
def test_the_sentence_counts_those_that_cannot_be_told_from_the_best(tied, said):
    board = built(rows(names(4))).boards[0]
    text = site_table.sentence(replace(board, lines=board.lines.assign(tied=tied), detectable=0.021))
    assert text.startswith("baseline has the highest mean fine accuracy, linear probe,")
    assert said in text
    assert "a difference to baseline of 2.1 points would be seen in four of five cases" in text


def test_methods_that_are_on_no_two_boards_are_not_ranked_over_boards(tmp_path):
    site.write(built(rows(["baseline", "a"], task="x"), rows(["b", "c"], task="y")), tmp_path, {})
    text = Page((tmp_path / "index.html").read_text()).text
    assert "No method is ranked on every board." in text and "4 not ranked over boards" in text


def test_a_board_without_a_reference_shows_no_difference():
    board = built(rows(names(4)[1:])).boards[0]
    shown = site_table.shown(board, site_table.heads_of([board]), {})
    assert board.reference == "" and shown.reference_at < 0
    assert {line.cells["difference"].text for line in shown.lines} == {"–"}
