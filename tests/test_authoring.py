"""Drafts as YAML: what is written is read again as it was meant, and what cannot be written is refused."""

import dataclasses
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from benchmark import authoring, hierarchy, registry
from benchmark.authoring import Draft
from benchmark.errors import InputError

PETS = Draft(
    name="pets",
    title="Pets",
    source="imagefolder/pets",
    image_size=8,
    levels=("kind", "breed"),
    paths=(("cats", "siam"), ("cats", "manx"), ("dogs", "pug")),
    provenance="Made up.",
)
MISREAD = ["747", "1e3", "0x1F", "1_000", "12:30:00", "true", "No", "ON", "y", "null", "~", ".nan", "2020-01-01", "<<"]
AWKWARD = [*MISREAD, "=", "", "a: b", "a #b", "#a", "- a", "[a]", "{a}", "&a", "*a", "!a", "%a", "@a", "`a", "a,b", "?"]
AWKWARD += ["'a'", '"a"', "a\\b", "a\tb", "a\nb", "a  b", "été", "鶴", "🐈", "\x85", "\ufeffa", "a\u2028b", "\x00"]

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).map(str.strip).filter(bool)
names = words.filter(str.isprintable)  # others are refused as names of classes


@st.composite
def trees(draw: st.DrawFn) -> tuple[tuple[str, ...], ...]:
    """Root-to-leaf names two to four levels deep, every class in one place."""
    depth = draw(st.integers(2, 4))
    pools = [draw(st.lists(names, min_size=2, max_size=4, unique=True)) for _ in range(depth - 1)]
    leaves = draw(st.lists(names, min_size=3, max_size=20, unique=True))
    above = {(0, name): (name,) for name in pools[0]}
    for level, pool in enumerate(pools[1:], 1):
        for name in pool:
            above[level, name] = (*above[level - 1, draw(st.sampled_from(pools[level - 1]))], name)
    last = depth - 2
    chosen = [pools[last][0], pools[last][1], *(draw(st.sampled_from(pools[last])) for _ in leaves[2:])]
    return tuple((*above[last, parent], leaf) for parent, leaf in zip(chosen, leaves, strict=True))


def grouped(paths: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """Paths as a nested mapping keeps them."""
    if len(paths[0]) == 1:
        return paths
    below: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        below.setdefault(path[0], []).append(path[1:])
    return tuple((name, *rest) for name, rests in below.items() for rest in grouped(tuple(rests)))


def draft_of(paths: tuple[tuple[str, ...], ...], **changes: object) -> Draft:
    levels = tuple(f"l{i}" for i in range(len(paths[0])))
    return dataclasses.replace(PETS, levels=levels, paths=paths, **changes)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees(), words, words, st.text(st.characters(exclude_categories=["Cs"])))
@example(PETS.paths, "Pets", "Siamese", " set in\rand not")
def test_random_trees_are_read_as_they_were_written(paths, title, readable, provenance):
    draft = draft_of(paths, title=title, names={paths[0][-1]: readable}, provenance=provenance)
    try:
        authoring.check(draft)
    except InputError as error:  # a tree in which nothing could collapse
        assert "coarse-to-fine transfer needs" in str(error)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pets.yaml"
        tree = authoring.write(draft, path)
        assert tree == hierarchy.load(path)
        assert [file.name for file in Path(folder).iterdir()] == ["pets.yaml"]
    assert tree.paths == grouped(paths)
    assert (tree.title, tree.names, tree.levels, tree.source) == (title, draft.names, draft.levels, draft.source)


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
def test_awkward_names_are_text_to_any_reader(name: str, version: tuple[int, int]):
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    text = authoring.quoted(name)
    assert yaml.load(f"[{text}, {text}]\n") == [name, name]
    assert yaml.load(f"{text}: {text}\n") == {name: name}


@pytest.mark.parametrize("name", ["siam", "maple_tree", "T-shirt/top", "St. Bernard (long hair)", "n01440764"])
def test_plain_names_stay_plain(name: str):
    assert authoring.quoted(name) == name


def test_everything_a_draft_says_is_in_the_file(tmp_path: Path):
    draft = dataclasses.replace(
        PETS,
        levels=("realm", "kind", "breed"),
        paths=(("land", "cats", "siam"), ("land", "cats", "747"), ("land", "dogs", "pug"), ("sea", "fish", "koi")),
        coarse="kind",
        fine="breed",
        ignore_others=True,
        names={"siam": "Siamese cat"},
        notes={"land": "dry\nas dust"},
    )
    tree = authoring.write(draft, tmp_path / "new" / "pets.yaml")
    assert (tmp_path / "new" / "pets.yaml").read_text() == (
        "name: pets\n"
        "version: 1\n"
        "title: Pets\n"
        "source: imagefolder/pets\n"
        "image_size: 8\n"
        "levels: [realm, kind, breed]\n"
        "coarse: kind\n"
        "fine: breed\n"
        "provenance: |\n"
        "  Made up.\n"
        "licence: unknown\n"
        "ignore: others\n"
        "classes:\n"
        "  land:  # dry?as dust\n"
        '    cats: [siam, "747"]\n'
        "    dogs: [pug]\n"
        "  sea:\n"
        "    fish: [koi]\n"
        "names:\n"
        "  siam: Siamese cat\n"
    )
    assert (tree.coarse, tree.fine, tree.ignore, tree.licence) == ("kind", "breed", "others", "unknown")
    assert tree.provenance == "Made up."


@pytest.mark.parametrize("letter", ["x", "é", '"'])
def test_the_longest_name_is_read_again(tmp_path: Path, letter: str):
    unit = len(authoring.quoted(f"-{letter}")) - len(authoring.quoted("-"))
    name = "-" + letter * ((authoring.LONGEST_NAME - 3) // unit - 1) + "-"
    paths = ((name, name), ("cats", "siam"), ("cats", "manx"))
    assert authoring.write(dataclasses.replace(PETS, paths=paths), tmp_path / "pets.yaml").paths == paths


def test_long_lists_and_paragraphs_are_wrapped(tmp_path: Path):
    leaves = [f"class_{i:03}" for i in range(100)]
    paths = (*(("many", leaf) for leaf in leaves), ("few", "one"))
    draft = dataclasses.replace(PETS, paths=paths, provenance="word " * 100, target=("class_000",))
    path = tmp_path / "pets.yaml"
    with pytest.raises(InputError, match=r"nothing written; .*pets\.yaml:.*'few' has all its classes outside target"):
        authoring.write(draft, path)
    assert not list(tmp_path.iterdir())
    tree = authoring.write(
        dataclasses.replace(draft, paths=(*paths, ("few", "two")), target=("class_000", "two")), path
    )
    assert max(map(len, path.read_text().splitlines())) <= authoring.WIDTH
    assert tree.leaves == (*leaves, "one", "two") and tree.target == ("class_000", "two")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "../pets"}, r"name '\.\./pets' must match .*; choose one with --name"),
        ({"name": "Pets"}, r"name 'Pets' must match"),
        ({"levels": ("kind", "Breed")}, r"name 'Breed' must match .*; choose one with --levels"),
        (
            {"paths": (("cats", "siam"), ("cats", " manx"), ("dogs", "pug"))},
            r"class name ' manx' is blank or has blanks",
        ),
        ({"paths": (("cats", "siam"), ("cats", ""), ("dogs", "pug"))}, r"class name '' is blank"),
        ({"paths": (("cats", "x" * 1001), ("cats", "a"), ("dogs", "b"))}, r"is longer than 1000 characters; rename it"),
        ({"paths": (("cats", "\udcff"), ("cats", "a"), ("dogs", "b"))}, r"class name '\\udcff' is not UTF-8; rename"),
        (
            {"paths": (("cats", "siam"), ("cats", "manx"), ("dogs", "manx"))},
            r"^breed 'manx' is below 'cats' and 'dogs'; rename one or remove one",
        ),
        (
            {"paths": (("cats", "siam"), ("dogs", "manx"), ("dogs", "siam")), "origins": ("t:1", "t:2", "t:3")},
            r"^t:3: breed 'siam' is below 'cats' and 'dogs'",
        ),
        ({"paths": (("cats", "siam"), ("dogs", "pug"))}, r"'kind' has 2 classes and 'breed' 2; coarse-to-fine"),
        ({"paths": (("cats", "siam"), ("cats", "pug"))}, r"'kind' has 1 classes and 'breed' 2; coarse-to-fine"),
        ({"source": "ftp/pets"}, r"nothing written; .*pets\.yaml:4: unknown source family 'ftp'"),
    ],
)
def test_what_a_hierarchy_cannot_be_is_refused_and_nothing_is_written(tmp_path: Path, changes: dict, complaint: str):
    with pytest.raises(InputError, match=complaint) as caught:
        authoring.write(dataclasses.replace(PETS, **changes), tmp_path / "pets.yaml")
    assert "\n" not in str(caught.value) and ".init-task" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_class_below_two_parents_of_an_upper_level_is_refused():
    paths = (("land", "cats", "siam"), ("land", "dogs", "pug"), ("sea", "cats", "catfish"))
    with pytest.raises(InputError, match=r"kind 'cats' is below 'land' and 'sea'; rename one"):
        authoring.check(dataclasses.replace(PETS, levels=("realm", "kind", "breed"), paths=paths))


def test_a_file_is_replaced_only_on_request(tmp_path: Path):
    path = tmp_path / "pets.yaml"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"pets\.yaml exists; --force replaces it, --out and --name choose another"):
        authoring.write(PETS, path)
    assert path.read_text() == "mine"
    with pytest.raises(InputError, match="must match"):
        authoring.write(dataclasses.replace(PETS, levels=("A", "B")), path, force=True)
    assert path.read_text() == "mine"
    assert authoring.write(PETS, path, force=True) == hierarchy.load(path)


def test_a_shipped_name_is_refused(tmp_path: Path):
    draft = dataclasses.replace(PETS, name="digits-halves")
    with pytest.raises(InputError, match="'digits-halves' is taken by a shipped task; choose another with --name"):
        authoring.write(draft, tmp_path / "digits-halves.yaml")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written \(.*\); choose another with --out"):
        authoring.write(PETS, tmp_path / "file" / "pets.yaml")


def test_destination(tmp_path: Path):
    assert authoring.destination("pets", None) == Path("hierarchies/pets.yaml")
    assert authoring.destination("pets", tmp_path / "pets.yaml") == tmp_path / "pets.yaml"
    with pytest.raises(InputError, match=r"cats\.yaml: the file of task 'pets' is called pets\.yaml; change --out or"):
        authoring.destination("pets", tmp_path / "cats.yaml")


def test_the_report_says_what_to_type_next(tmp_path: Path):
    path = tmp_path / "my tasks" / "pets.yaml"
    tree = authoring.write(PETS, path)
    text = authoring.report(tree, path, Path("data"))
    assert f"{path} written: 2 kind > 3 breed." in text
    assert "note: kind with a single breed: dogs" in text
    assert f"  c2f show task pets --datasets-dir '{path.parent}'\n" in text
    assert f"  c2f run --tasks pets --datasets-dir '{path.parent}' --data-root data --recipe quickstart" in text
    assert registry.task("pets", path.parent).hierarchy == tree
