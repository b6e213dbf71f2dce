"""Hierarchy files: what is accepted, what is refused and where the refusal points."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark import hierarchy, registry
from benchmark.errors import InputError
from benchmark.schema import Hierarchy

HEADER = """\
name: pets
version: 1
title: Pets
source: imagefolder/pets
image_size: 8
levels: [kind, breed]
"""
CLASSES = """\
classes:
  cats: [siam, manx]
  dogs: [pug, collie]
"""
THREE = """\
name: pets
version: 1
title: Pets
source: imagefolder/pets
image_size: 8
levels: [realm, kind, breed]
classes:
  land:
    cats: [siam, manx]
    dogs: [pug, collie, husky]
  water:
    fish: [koi, guppy]
"""
SHIPPED = [path.read_text() for path in registry.task_files().values()]


def load(folder: Path, text: str) -> Hierarchy:
    path = folder / "pets.yaml"
    path.write_text(text, encoding="utf-8")
    return hierarchy.load(path)


def with_classes(lines: str) -> str:
    """The header, `classes:` on line 7, and the lines, the first of which is line 8."""
    return f"{HEADER}classes:\n{lines}\n"


def with_header(old: str, new: str) -> str:
    assert old in HEADER
    return HEADER.replace(old, new) + CLASSES


UNQUOTED = [("747", "int"), ("true", "bool"), ("null", "NoneType"), ("1e3", "float"), ("2020-01-01", "date")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(HEADER + "colour: red\n" + CLASSES, r":7: unknown key 'colour': remove it", id="unknown-key"),
        pytest.param(HEADER.replace("title: Pets\n", "") + CLASSES, r":1: missing key 'title': add it", id="missing"),
        pytest.param(HEADER + "version: 2\n" + CLASSES, r":7: key 'version' repeated, first on line 2", id="repeated"),
        pytest.param(
            with_classes("  cats: [siam, manx]\n  dogs: [pug]\n  cats: [koi]"),
            r":10: key 'cats' repeated, first on line 8; remove or rename one",
            id="repeated-superclass",
        ),
        pytest.param(with_header("version: 1", "version: 0"), r":2: version: .*greater than or equal to 1", id="v0"),
        pytest.param(with_header("version: 1", "version: '1'"), r":2: version: .*valid integer, got '1'", id="strict"),
        pytest.param(with_header("image_size: 8", "image_size: 2"), r":5: image_size: .*equal to 4, got 2", id="small"),
        pytest.param(with_header("[kind, breed]", "[kind]"), r":6: levels: .*at least 2 items", id="one-level"),
        pytest.param(with_header("[kind, breed]", "[kind, kind]"), r":6: level names must differ.*rename", id="levels"),
        pytest.param(
            with_header("name: pets", "name: cats"), r":1: name 'cats' must equal .*'pets'; rename", id="stem"
        ),
        pytest.param(
            with_header("name: pets", "name: ../pets"), r":1: name '\.\./pets' must match .*; rename", id="name"
        ),
        pytest.param(
            with_header("imagefolder/pets", "ftp/pets"),
            r":4: unknown source family 'ftp'; use one of: digits, torchvision, imagefolder, synthetic",
            id="source",
        ),
        pytest.param(
            HEADER + "coarse: genus\n" + CLASSES, r":7: coarse: 'genus' is no level; use .*kind, breed", id="c"
        ),
        pytest.param(
            HEADER + "fine: genus\n" + CLASSES, r":7: fine: 'genus' is no level; use .*kind, breed", id="fine"
        ),
        pytest.param(
            HEADER + "fine: kind\ncoarse: breed\n" + CLASSES,
            r":8: coarse 'breed' must stand above fine 'kind' in levels; swap them",
            id="coarse-below-fine",
        ),
        pytest.param(
            with_classes("  cats: [siam, manx]\n  dogs: [pug, manx]"),
            r":9: class 'manx' listed twice, first on line 8; keep one of each",
            id="repeated-class",
        ),
        pytest.param(with_classes("  cats: [siam]\n  dogs: []"), r":9: 'dogs' is empty; add classes", id="empty-group"),
        pytest.param(with_classes("  cats: [siam]\n  dogs:"), r":9: expected a list .*, found nothing", id="no-group"),
        pytest.param(HEADER + "classes: {}\n", r":7: 'classes' is empty; add classes or remove it", id="no-classes"),
        pytest.param(
            with_classes("  cats: [siam]\n  dogs:\n    small: [pug]"),
            r":9: expected a list of class names, found a mapping; see `levels`",
            id="too-deep",
        ),
        pytest.param(
            THREE.replace("    fish: [koi, guppy]", "    [koi, guppy]"),
            r":11: expected a mapping 2 levels deep, found a list; see `levels`",
            id="too-shallow",
        ),
        pytest.param(
            HEADER.replace("[kind, breed]", "[kind, 'a:b']") + CLASSES, r":6: level 'a:b' must match", id="level-name"
        ),
        pytest.param(
            HEADER + "ignore: [cow, cow]\n" + CLASSES, r":7: class 'cow' listed twice, first", id="ignored-twice"
        ),
        pytest.param(
            THREE.replace("fish:", "cats:"),
            r":12: level 'kind' names cats under two parents; rename one",
            id="two-parents",
        ),
        pytest.param(with_classes("  cats: [siam,\n    ' ']"), r":9: class name ' ' is blank", id="blank-class"),
        pytest.param(
            with_classes("  cats: [siam]\n  ' d': [pug]"), r":9: class name ' d' .*trim it", id="blanks-at-end"
        ),
        pytest.param(HEADER + "ignore: [pug]\n" + CLASSES, r":7: both ignored and listed: pug; keep one", id="ignored"),
        pytest.param(
            HEADER + "ignore: [5]\n" + CLASSES, r":7: class name 5 .*int; put its text in quotes", id="ignore-5"
        ),
        pytest.param(
            HEADER + "names: {pug: Pug, lion: Lion}\n" + CLASSES,
            r":7: names for a class that is not listed: lion; remove",
            id="strangers",
        ),
        pytest.param(HEADER + "names:\n  pug: 5\n" + CLASSES, r":8: names.pug: .*valid string, got 5", id="names-of-5"),
        *(
            pytest.param(
                with_classes(f"  cats: [siam, manx]\n  dogs: [pug,\n    {raw}]"),
                rf":10: class name .* was read as {kind}; put its text in quotes",
                id=f"unquoted-class-{raw}",
            )
            for raw, kind in UNQUOTED
        ),
        *(
            pytest.param(
                with_classes(f"  cats: [siam, manx]\n  {raw}: [pug]"),
                rf":9: class name .* was read as {kind}; put its text in quotes",
                id=f"unquoted-superclass-{raw}",
            )
            for raw, kind in UNQUOTED
        ),
    ],
)
def test_defect_gives_one_line_with_file_line_culprit_and_remedy(tmp_path: Path, text: str, complaint: str):
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "pets.yaml")) + complaint) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_yaml_1_2_words_are_class_names(tmp_path: Path):
    assert load(tmp_path, with_classes("  on: [no, yes]\n  off: [y, n]")).leaves == ("no", "yes", "y", "n")


def test_labels_and_classes_of_three_levels(tmp_path: Path):
    tree = load(tmp_path, THREE)
    assert (tree.coarse, tree.fine) == ("realm", "breed")
    assert tree.classes("realm") == ("land", "water")
    assert tree.classes("kind") == ("cats", "dogs", "fish")
    assert tree.classes("breed") == tree.leaves == ("siam", "manx", "pug", "collie", "husky", "koi", "guppy")
    assert tree.labels("realm") == (0, 0, 0, 0, 0, 1, 1)
    assert tree.labels("kind") == (0, 0, 1, 1, 1, 2, 2)
    assert tree.labels("breed") == (0, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("name", "fine_to_coarse"),
    [
        ("pets", (0, 0, 0, 0, 0, 1, 1)),
        ("pets@realm:kind", (0, 0, 1)),
        ("pets@kind:breed", (0, 0, 1, 1, 1, 2, 2)),
        ("pets@realm:breed", (0, 0, 0, 0, 0, 1, 1)),
    ],
)
def test_task_picks_two_of_three_levels(tmp_path: Path, name: str, fine_to_coarse: tuple[int, ...]):
    (tmp_path / "pets.yaml").write_text(THREE)
    assert registry.task(name, tmp_path).fine_to_coarse == fine_to_coarse


@pytest.mark.parametrize("levels", ["kind", "kind:", "kind:realm", "kind:kind", "realm:genus", ":"])
def test_task_refuses_levels_that_are_no_pair_downwards(tmp_path: Path, levels: str):
    (tmp_path / "pets.yaml").write_text(THREE)
    with pytest.raises(
        InputError, match=r"expected COARSE:FINE out of realm > kind > breed; write e\.g\. pets@realm:breed"
    ):
        registry.task(f"pets@{levels}", tmp_path)


def test_task_without_anything_to_collapse_is_refused(tmp_path: Path):
    (tmp_path / "pets.yaml").write_text(with_classes("  cats: [siam]\n  dogs: [pug]"))
    with pytest.raises(InputError, match="'kind' has 2 classes and 'breed' 2; coarse-to-fine transfer needs"):
        registry.task("pets", tmp_path)


def test_superclass_of_one_class_is_a_warning(tmp_path: Path):
    assert load(tmp_path, HEADER + CLASSES).warnings == ()
    (warning,) = load(tmp_path, HEADER + CLASSES.replace(", collie", "")).warnings
    assert re.match(r"kind with a single breed: dogs; it cannot collapse inside", warning)
    assert len(load(tmp_path, THREE).warnings) == 1  # water has one kind


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(CLASSES, "classes:\n  cats: [siam]\n  dogs: [manx, pug, collie]\n", id="a-class-moves"),
        pytest.param("siam, manx", "manx, siam", id="order-of-classes"),
        pytest.param(CLASSES, "classes:\n  dogs: [pug, collie]\n  cats: [siam, manx]\n", id="order-of-superclasses"),
        pytest.param("image_size: 8", "image_size: 16", id="image-size"),
        pytest.param("imagefolder/pets", "imagefolder/others", id="source"),
        pytest.param("classes:", "ignore: [lion]\nclasses:", id="ignore"),
    ],
)
def test_digest_changes_with_what_can_change_a_number(tmp_path: Path, old: str, new: str):
    text = HEADER + CLASSES
    assert old in text
    assert load(tmp_path, text).digest != load(tmp_path, text.replace(old, new)).digest


def test_digest_ignores_words_version_and_layout(tmp_path: Path):
    words = "provenance: who knows\nlicence: MIT\nnames: {pug: Pug}\n"
    text = HEADER.replace("title: Pets", "title: Beasts").replace("version: 1", "version: 2") + words + CLASSES
    changed = load(tmp_path, text.replace("[pug, collie]", "\n    - pug\n    - collie"))
    plain = load(tmp_path, HEADER + CLASSES)
    assert changed.digest == plain.digest
    assert dataclasses.replace(plain, ignore=("a", "b")).digest == dataclasses.replace(plain, ignore=("b", "a")).digest


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A shipped file after up to three random deletions, copies or insertions of a line or a character."""
    text = draw(st.sampled_from(SHIPPED))
    for _ in range(draw(st.integers(1, 3))):
        pieces = draw(st.sampled_from([text.splitlines(keepends=True), list(text)]))
        at = draw(st.integers(0, max(len(pieces) - 1, 0)))
        how = draw(st.sampled_from(["delete", "copy", "insert"]))
        if how == "insert":
            pieces.insert(
                at,
                draw(
                    st.sampled_from([*"-:,[]{}#&*!|>'\"%@`?\\\t\n 0aé", "- a\n", "a: b\n", "  x: [y]\n", "<<: ", "!!"])
                ),
            )
        elif how == "copy":
            pieces[at : at + 1] = pieces[at : at + 1] * 2
        else:
            del pieces[at : at + 1]
        text = "".join(pieces)
    return text


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=damaged())
def test_random_damage_yields_an_input_error_or_a_sound_hierarchy(tmp_path: Path, text: str):
    stem = re.search(r"^name: (\S+)$", text, re.MULTILINE)
    path = tmp_path / f"{re.sub('[^a-z0-9-]', '', stem[1]) if stem else 'x'}.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        tree = hierarchy.load(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert len(set(tree.leaves)) == len(tree.leaves) >= 1
        assert all(isinstance(name, str) and name.strip() for name in tree.leaves)
        assert all(len(route) == len(tree.levels) for route in tree.paths)
