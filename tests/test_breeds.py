"""The BREEDS reader: the published tasks from the published files, each step by hand on small trees, refusals."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark import breeds
from benchmark.breeds import CLASSES, EDGES, FOLDER, NAMES, Selection
from benchmark.errors import InputError

FACTS = Path(__file__).parents[2] / "shared" / "facts" / "breeds_tasks.json"
TREE = """\
root a
root b
a s
a t
b z
s x
s y
x x1
x x2
x x3
y y1
t u
u p
u q
p p1
p p2
q q1
q q2
z z1
z z2
z z3
z z4
"""
LEAVES = ["x3", "x1", "x2", "y1", "p1", "p2", "q1", "q2", "z4", "z3", "z2", "z1", "outside"]


def put(folder: Path, edges: str = TREE, classes: list[str] = LEAVES, names: str = "") -> Path:
    """The three files; every id is named in capitals."""
    ids = dict.fromkeys(edges.split())
    (folder / EDGES).write_text(edges)
    (folder / NAMES).write_text(names or "".join(f"{name}\t{name.upper()}\n" for name in ids))
    (folder / CLASSES).write_text(json.dumps([[i, name, f"the {name}"] for i, name in enumerate(classes)]))
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> breeds.Tree:
    return breeds.read(put(tmp_path))


def sides(tree: breeds.Tree, wanted: Selection) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {found.node: (found.source, found.target) for found in breeds.select(tree, wanted)}


@pytest.fixture(scope="module")
def facts() -> dict:
    if not FACTS.is_file():
        pytest.skip(f"no facts at {FACTS}")
    return json.loads(FACTS.read_text())


@pytest.fixture(scope="module")
def root(real_data: Callable[[str], Path]) -> Path:
    """A data root with the published files."""
    return real_data("hierarchy") / "breeds"


@pytest.fixture(scope="module")
def published(root: Path) -> breeds.Tree:
    return breeds.read(breeds.find(root))


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["None", "rand", "good", "bad"])
@pytest.mark.parametrize("task", ["entity13", "entity30", "living17", "nonliving26"])
def test_published_tasks(published: breeds.Tree, facts: dict, task: str, split: str):
    fact = facts["tasks"][task]
    params, truth = fact["params"], fact["splits"][split]
    wanted = Selection(
        level=params["level"],
        num_subclasses=params["Nsubclasses"],
        ancestor=params["ancestor"] or "",
        split=breeds.split_of("" if split == "None" else split),
        balanced=params["balanced"],
        seed=params["random_seed"],
    )
    found = breeds.select(published, wanted)
    assert [(s.node, published.names[s.node], list(s.eligible)) for s in found] == [
        (s["wnid"], s["name"], s["eligible"]) for s in fact["superclasses"]
    ]
    assert [list(s.source) for s in found] == truth["subclasses" if split == "None" else "source"]
    assert [list(s.target) for s in found] == truth.get("target", [[]] * len(found))


@pytest.mark.real_data
def test_published_tree(published: breeds.Tree, facts: dict):
    stats = facts["hierarchy_stats"]
    assert published.root == stats["root"]
    assert {level: len(published.at_level(int(level))) for level in stats["levels"]} == stats["levels"]
    assert published.at_level(9) == []
    inside = published.eligible(published.root)
    assert sorted(set(published.classes) - set(inside)) == sorted(stats["leaves_missing"])
    assert list(published.classes) == sorted(facts["class_index"], key=facts["class_index"].get)
    assert {name: published.names[name] for name in published.classes} == facts["class_name"]
    assert dict(breeds.SHA256) == facts["provenance"]["sha256"]


@pytest.mark.real_data
def test_a_file_that_is_not_the_published_one_is_refused(root: Path, tmp_path: Path):
    source, folder = root / FOLDER, tmp_path / FOLDER
    folder.mkdir(parents=True)
    for name in breeds.SHA256:
        (folder / name).write_bytes((source / name).read_bytes())
    assert breeds.find(tmp_path) == folder
    (folder / EDGES).write_text((source / EDGES).read_text() + "\n")
    with pytest.raises(InputError, match=r"class_hierarchy\.txt: not the published file.*delete it.*--tree"):
        breeds.find(tmp_path)


@pytest.mark.real_data
def test_download_checks_what_it_gets(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site = tmp_path / "site"
    site.mkdir()
    for name in breeds.SHA256:
        (site / name).write_bytes((root / FOLDER / name).read_bytes())
    monkeypatch.setattr(breeds, "URL", site.as_uri() + "/{}")
    folder = breeds.find(tmp_path / "root", download=True)
    assert sorted(path.name for path in folder.iterdir()) == sorted(breeds.SHA256)
    (site / NAMES).write_text("changed")
    with pytest.raises(InputError, match=r"node_names\.txt: changed, its SHA-256 is .*; get the file elsewhere"):
        breeds.find(tmp_path / "other", download=True)
    assert not (tmp_path / "other" / FOLDER / NAMES).exists()


def test_without_files_or_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=rf"no dataset_class_info\.json in {tmp_path}/.*--download.*--tree"):
        breeds.find(tmp_path)
    monkeypatch.setattr(breeds, "URL", (tmp_path / "nowhere").as_uri() + "/{}")
    with pytest.raises(InputError, match=r"download failed .*No such file.*check the network, or put the file into"):
        breeds.find(tmp_path, download=True)


def test_tree_levels_and_eligible_classes(tree: breeds.Tree):
    assert (tree.root, tree.classes) == ("root", tuple(LEAVES))
    assert tree.names["s"] == "S" and tree.names["x1"] == "the x1"
    assert tree.at_level(0) == ["root"] and tree.at_level(1) == ["a", "b"] and tree.at_level(2) == ["s", "t", "z"]
    assert tree.at_level(2, "a") == ["s", "t"] and tree.at_level(1, "a") == ["a"] and tree.at_level(0, "a") == []
    assert tree.eligible("s") == ["x1", "x2", "x3", "y1"] and tree.eligible("x1") == ["x1"]
    assert len(tree.eligible("root")) == 12


def test_branches_without_classes_are_cut_off(tmp_path: Path):
    tree = breeds.read(put(tmp_path, classes=["x1", "y1", "p1"]))
    assert tree.children == {
        "root": ("a",),
        "a": ("s", "t"),
        "s": ("x", "y"),
        "x": ("x1",),
        "y": ("y1",),
        "t": ("u",),
        "u": ("p",),
        "p": ("p1",),
    }


def test_the_walk_stops_at_a_class_and_counts_the_node_itself(tmp_path: Path):
    tree = breeds.read(put(tmp_path, classes=["s", "x", "x1", "y1"]))
    assert tree.eligible("a") == ["s"]  # x and y1 are behind s
    assert tree.eligible("s") == ["s", "x", "y1"]  # x1 is behind x


def test_draw_is_one_stream_through_the_superclasses(tree: breeds.Tree):
    rng = np.random.RandomState(2)
    pools = {"s": ["x1", "x2", "x3", "y1"], "t": ["p1", "p2", "q1", "q2"], "z": ["z1", "z2", "z3", "z4"]}
    expected = {node: tuple(pool[i] for i in rng.permutation(4)[:2]) for node, pool in pools.items()}
    assert sides(tree, Selection(2, 2)) == {node: (names, ()) for node, names in expected.items()}
    assert sides(tree, Selection(2, 2, split="rand")) == {n: (d[:1], d[1:]) for n, d in expected.items()}
    assert sides(tree, Selection(2, 2, ancestor="b"))["z"] != (expected["z"], ())  # z is the first of this stream
    assert sides(tree, Selection(2, 2, seed=3)) != sides(tree, Selection(2, 2))


def test_bad_split_keeps_branches_whole_and_fills_up_with_what_overflowed(tree: breeds.Tree):
    assert sides(tree, Selection(2, 4, split="bad")) == {
        "s": (("x1", "x2"), ("y1", "x3")),  # x has three for two places: x3 is spare; y1 leaves one place to it
        "t": (("p1", "p2"), ("q1", "q2")),  # down through u, the only child; p and q are equally large: by id
        "z": (("z1", "z3"), ("z2", "z4")),  # four branches of one, in turn to the side with fewer
    }


def test_good_split_shares_out_each_branch(tree: breeds.Tree):
    assert sides(tree, Selection(2, 4, split="good")) == {
        "s": (("x1", "y1"), ("x2", "x3")),  # x: 3 // 2 = 1 to source, the rest to target; y1 alone: source
        "t": (("p1", "q1"), ("p2", "q2")),
        "z": (("z1", "z2"), ("z3", "z4")),  # single classes: source while it has room
    }


@pytest.mark.parametrize(
    ("split", "source", "target"),
    [("bad", ("x1",), ("y1",)), ("good", ("x1",), ("x2",))],
)
def test_splits_stop_at_their_half(tree: breeds.Tree, split: breeds.Split, source: tuple, target: tuple):
    assert sides(tree, Selection(2, 2, split=split))["s"] == (source, target)


def test_unbalanced_takes_all_classes_and_an_even_number_if_split(tmp_path: Path):
    tree = breeds.read(put(tmp_path, edges=TREE + "z z5\n", classes=[*LEAVES, "z5"]))
    whole = sides(tree, Selection(2, 3, balanced=False))
    assert {node: sorted(source) for node, (source, _) in whole.items()} == {
        "s": ["x1", "x2", "x3", "y1"],
        "t": ["p1", "p2", "q1", "q2"],
        "z": ["z1", "z2", "z3", "z4", "z5"],
    }
    halves = sides(tree, Selection(2, 2, balanced=False, split="rand"))
    assert {node: (len(source), len(target)) for node, (source, target) in halves.items()} == {
        "s": (2, 2),
        "t": (2, 2),
        "z": (2, 2),
    }
    assert sides(tree, Selection(2, 2, balanced=False, split="bad"))["z"] == (("z1", "z3"), ("z2", "z4"))


def test_superclasses_with_too_few_classes_are_left_out_and_the_label_is_the_position(tmp_path: Path):
    tree = breeds.read(put(tmp_path, edges=TREE + "b few\nfew f1\n", classes=[*LEAVES, "f1"]))
    assert [found.node for found in breeds.select(tree, Selection(2, 2))] == ["s", "t", "z"]
    assert [found.node for found in breeds.select(tree, Selection(2, 1))] == ["few", "s", "t", "z"]


def test_the_order_of_the_lines_does_not_matter(tree: breeds.Tree, tmp_path: Path):
    lines = TREE.splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    again = breeds.read(put(tmp_path, edges="".join(lines)))
    for split in (None, "rand", "good", "bad"):
        assert breeds.select(again, Selection(2, 4, split=split)) == breeds.select(tree, Selection(2, 4, split=split))


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (Selection(2, 4, ancestor="aa"), r"unknown ancestor 'aa'.*class_hierarchy\.txt"),
        (Selection(2, 3, split="rand"), r"must be even and above 0, to be split in halves, got 3; change it"),
        (Selection(2, 0), r"must be above 0, got 0; change it"),
        (Selection(2, 5), r"level 2 has 3 nodes, the largest with 4 classes, none with 5; choose another level"),
        (Selection(9, 1, ancestor="a"), r"level 9 below a \(A\) has 0 nodes"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(tree: breeds.Tree, wanted: Selection, complaint: str):
    with pytest.raises(InputError, match=complaint):
        breeds.select(tree, wanted)


def test_a_good_split_that_cannot_be_even_is_refused(tmp_path: Path):
    tree = breeds.read(put(tmp_path, edges=TREE + "y y2\ny y3\n", classes=[*LEAVES, "y2", "y3"]))
    with pytest.raises(InputError, match=r"s \(S\): the 'good' split of 6 classes gives 2 and 3, not 3 and 3; take"):
        breeds.select(tree, Selection(2, 6, split="good"))  # 3 // 2 = 1 of x and y each


def test_unknown_split():
    assert breeds.split_of("") is None and breeds.split_of("bad") == "bad"
    with pytest.raises(InputError, match="unknown split 'worst'"):
        breeds.split_of("worst")


@pytest.mark.parametrize(
    ("edges", "complaint"),
    [
        pytest.param(
            TREE + "a\n", r"class_hierarchy\.txt:23: expected `PARENT CHILD`, found 'a'; mend", id="one-field"
        ),
        pytest.param(TREE + "a b c\n", r":23: expected `PARENT CHILD`, found 'a b c'", id="three-fields"),
        pytest.param(
            TREE + "b x1\n", r":23: 'x1' is below 'x' since line 8, and now below 'b'; .*remove", id="parents"
        ),
        pytest.param(TREE + "x x1\n", r":23: 'x1' is below 'x' since line 8, and now below 'x'", id="twice"),
        pytest.param(TREE + "other o1\n", r"2 nodes without a parent: other, root; a tree has one root", id="roots"),
        pytest.param(TREE + "c d\nd c\n", r":2[34]: '[cd]' below '[cd]' goes in a circle; remove an edge", id="circle"),
        pytest.param("a b\nb a\n", r":1: 'b' below 'a' goes in a circle", id="only-a-circle"),
        pytest.param("\n", r"class_hierarchy\.txt: empty; expected lines of `PARENT CHILD`", id="empty"),
        pytest.param("root m\n", r"no class of dataset_class_info\.json is in the tree", id="strangers"),
    ],
)
def test_malformed_edges_are_refused_with_file_and_line(tmp_path: Path, edges: str, complaint: str):
    with pytest.raises(InputError, match=complaint) as caught:
        breeds.read(put(tmp_path, edges=edges))
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ("root\tRoot\na A\n", r"node_names\.txt:2: expected `ID<tab>NAME`, found 'a A'; mend the line"),
        ("root\tRoot\na\t\n", r"node_names\.txt:2: expected `ID<tab>NAME`"),
        ("root\tRoot\nroot\tAgain\n", r"node_names\.txt:2: 'root' has a name already; remove a line"),
        (
            "root\tRoot\n\nb\tB\n",
            r"class_hierarchy\.txt:1: 'a' has no line in node_names\.txt; add one, or mend the id",
        ),
    ],
)
def test_malformed_names_are_refused_with_file_and_line(tmp_path: Path, names: str, complaint: str):
    with pytest.raises(InputError, match=complaint):
        breeds.read(put(tmp_path, names=names))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", r"dataset_class_info\.json: file: Invalid JSON"),
        (b'[["0", "x1", "one"]]', r"dataset_class_info\.json: 0\.0: .*valid integer; expected a list of \[index, id"),
        (b'[[0, "x1"]]', r"dataset_class_info\.json: 0\.2: Field required"),
        (b'[[0, "x1", "one"], [1, "x1", "two"]]', r"every index from 0 and every id once"),
        (b'[[1, "x1", "one"]]', r"every index from 0 and every id once"),
        (b'["\xff"]', r"dataset_class_info\.json: not UTF-8 at byte 2; save it as UTF-8"),
    ],
)
def test_malformed_classes_are_refused(tmp_path: Path, content: bytes, complaint: str):
    put(tmp_path)
    (tmp_path / CLASSES).write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        breeds.read(tmp_path)


def test_missing_file_of_a_tree_is_named(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"dataset_class_info\.json: cannot be read \(No such file.*a tree is dataset_"
    ):
        breeds.read(tmp_path)
