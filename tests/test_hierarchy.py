"""Hierarchy files: what is accepted, what is refused and where the refusal points."""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
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


SEVERAL = """\
name: pets
version: x
colour: red
source: ftp/pets
image_size: 8
levels: [kind, breed]
fine: genus
ignore: [pug, cow, cow]
target: [siam, lion]
names: {pug: Pug, wolf: Wolf}
version: 2
classes:
  cats:
    - siam
    - 747
    - pug
  dogs:
    - pug
    - " collie"
  cats: [manx]
  fish: []
  birds:
    - owl\u200b
  frogs: {tree: [red]}
"""


def test_every_defect_of_a_file_is_found_at_once_with_its_line(tmp_path: Path):
    path = tmp_path / "pets.yaml"
    path.write_text(SEVERAL)
    tree, defects = hierarchy.examine(path)
    assert tree is None
    found = [(defect.line, defect.text, defect.note) for defect in defects]
    # Worked out by hand, line by line. The second `cats` is a repeated key: what it holds is not looked at.
    expected = [
        (1, "missing key 'title': add it"),
        (2, "version: Input should be a valid integer, got 'x'"),
        (3, "unknown key 'colour': remove it or check its spelling"),
        (4, "unknown source family 'ftp'; use one of: digits, torchvision, imagefolder, synthetic"),
        (8, "class 'cow' listed twice, first on line 8; keep one of each"),
        (8, "both ignored and listed: pug; keep one of the two"),
        (9, "target class nobody lists: lion; list or remove it"),
        (10, "names for a class that is not listed: wolf; remove"),
        (11, "key 'version' repeated, first on line 2; remove or rename one"),
        (15, "class name 747 was read as int; put its text in quotes"),
        (18, "class 'pug' listed twice, first on line 16; keep one of each"),
        (19, "class name ' collie' is blank or has blanks at its ends; trim it"),
        (20, "key 'cats' repeated, first on line 13; remove or rename one"),
        (21, "'fish' is empty; add classes or remove it"),
        (23, "class name 'owl\\u200b' holds an invisible character; write it without"),
        (24, "expected a list of class names, found a mapping; see `levels`"),
    ]
    assert found == [(line, text, False) for line, text in expected]
    with pytest.raises(InputError, match=r":1: missing key 'title': add it \(15 more: c2f check .*pets.yaml\)$"):
        hierarchy.load(path)


def test_a_note_has_a_line_and_spoils_nothing(tmp_path: Path):
    path = tmp_path / "pets.yaml"
    path.write_text(with_classes("  cats: [siam, manx]\n  dogs: [pug]\n  fish: [koi]"))
    tree, (note,) = hierarchy.examine(path)
    assert tree is not None and tree.warnings == (note.text,)
    assert (note.line, note.note) == (9, True) and "dogs, fish" in note.text


TARGET = HEADER + "target: [manx, collie]\n" + CLASSES
VARIANT = "name: few\nversion: 1\ntitle: Few\nof: pets\n"


def test_ignore_others_leaves_out_what_is_not_listed(tmp_path: Path):
    tree = load(tmp_path, HEADER + "ignore: others\n" + CLASSES)
    assert tree.ignore == "others"
    assert tree.digest != load(tmp_path, HEADER + CLASSES).digest
    assert tree.digest != load(tmp_path, HEADER + "ignore: [others]\n" + CLASSES).digest


def test_target_makes_a_subpopulation_shift(tmp_path: Path):
    tree = load(tmp_path, TARGET)
    assert tree.target == ("manx", "collie")
    task = registry.task("pets", tmp_path)
    assert task.kind == "subpopulation-shift"
    assert task.pretraining.fine_classes == ("siam", "pug")
    assert task.evaluation.fine_classes == ("manx", "collie")


def test_long_tail_and_counts_are_read(tmp_path: Path):
    tree = load(tmp_path, HEADER + "long_tail: 100\n" + CLASSES)
    assert (tree.long_tail, tree.subclass_counts) == (100.0, ())
    tree = load(tmp_path, HEADER + "subclass_counts: [50, 5]\n" + CLASSES)
    assert (tree.long_tail, tree.subclass_counts) == (1.0, (50, 5))


def test_one_level_twice_with_a_long_tail_is_a_long_tailed_task(tmp_path: Path):
    load(tmp_path, HEADER + "coarse: breed\nlong_tail: 10\n" + CLASSES)
    assert registry.task("pets", tmp_path).kind == "long-tailed"


def test_counts_are_of_fine_classes_not_of_leaves(tmp_path: Path):
    three = THREE.replace("    fish: [koi, guppy]", "    fish: [koi, guppy]\n    whales: [orca]")
    assert load(tmp_path, "fine: kind\nsubclass_counts: [9, 3]\n" + three).subclass_counts == (9, 3)


def test_a_variant_has_the_classes_of_its_base_and_words_of_its_own(tmp_path: Path):
    (tmp_path / "pets.yaml").write_text("licence: MIT\nprovenance: Base.\n" + THREE)
    own = "coarse: kind\nlong_tail: 50\nprovenance: Own.\n"
    (tmp_path / "few.yaml").write_text(VARIANT + own)
    base, tree = (registry.task(name, tmp_path).hierarchy for name in ("pets", "few"))
    changed = {"name": "few", "title": "Few", "coarse": "kind", "long_tail": 50.0, "provenance": "Own.\nBase."}
    assert tree == dataclasses.replace(base, **changed)
    assert tree.digest != base.digest


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(
            HEADER + "ignore: all\n" + CLASSES,
            r":7: ignore: expected a list of classes, or the word others, got 'all'",
            id="ignore-word",
        ),
        pytest.param(HEADER + "ignore: {a: b}\n" + CLASSES, r":7: ignore: expected a list", id="ignore-mapping"),
        pytest.param(HEADER + "ignore:\n" + CLASSES, r":7: ignore: expected a list .*, got None", id="ignore-nothing"),
        pytest.param(HEADER + "target: manx\n" + CLASSES, r":7: target: .*valid list, got 'manx'", id="target-word"),
        pytest.param(
            HEADER + "target:\n- manx\n- collie\n- 5\n" + CLASSES,
            r":10: class name 5 .*int; put its text",
            id="target-5",
        ),
        pytest.param(
            HEADER + "target: [manx, cow, collie]\n" + CLASSES,
            r":7: target class nobody lists: cow; list or remove it",
            id="target-stranger",
        ),
        pytest.param(
            HEADER + "target: [manx, collie,\n manx]\n" + CLASSES,
            r":8: class 'manx' listed twice, first on line 7; keep one of each",
            id="target-twice",
        ),
        pytest.param(
            HEADER + "target: [manx, pug, collie]\n" + CLASSES,
            r":7: 'dogs' has all its classes in target; each kind needs some on both sides",
            id="target-all",
        ),
        pytest.param(
            HEADER + "target: [manx]\n" + CLASSES,
            r":7: 'dogs' has all its classes outside target; each kind needs some on both sides",
            id="target-none",
        ),
        *(
            pytest.param(HEADER + f"long_tail: {value}\n" + CLASSES, rf":7: long_tail: .*{what}", id=f"tail-{value}")
            for value, what in [
                ("0.5", "greater than or equal to 1, got 0.5"),
                ("-3", "greater than or equal to 1, got -3"),
                ("1e7", "less than or equal to 1000000"),
                (".inf", "less than or equal to 1000000"),
                (".nan", "got nan"),
                ("true", "valid number, got True"),
                ("'100'", "valid number, got '100'"),
            ]
        ),
        pytest.param(
            HEADER + "coarse: breed\n" + CLASSES,
            r":7: coarse and fine are both 'breed'; that takes `long_tail`: name two levels, or add it",
            id="same-level",
        ),
        pytest.param(
            HEADER + "fine: kind\n" + CLASSES, r":7: coarse and fine are both 'kind'", id="same-level-by-default"
        ),
        pytest.param(
            HEADER + "subclass_counts: [5, 0]\n" + CLASSES,
            r":7: subclass_counts.1: .*greater than or equal to 1, got 0",
            id="count-0",
        ),
        pytest.param(
            HEADER + "subclass_counts: [5, 2.5]\n" + CLASSES, r":7: subclass_counts.1: .*integer, got 2.5", id="half"
        ),
        pytest.param(HEADER + "subclass_counts: 5\n" + CLASSES, r":7: subclass_counts: .*list, got 5", id="count-5"),
        pytest.param(
            HEADER + "subclass_counts: [9, 3, 1]\n" + CLASSES,
            r":7: 3 counts, but 'cats' has 2 classes; give one for each \(1 more",
            id="counts",
        ),
        pytest.param(
            HEADER + "subclass_counts: [9, 3]\nlong_tail: 10\n" + CLASSES,
            r":7: long_tail and subclass_counts exclude each other; keep one",
            id="tail-and-counts",
        ),
        pytest.param(HEADER + "coarse: ''\n" + CLASSES, r":7: coarse: .*at least 1 character", id="empty-coarse"),
        pytest.param(with_header("name: pets", "name: ''"), r":1: name: .*at least 1 character", id="empty-name"),
        pytest.param(
            with_classes("  cats: [siam]\n  dogs: [pug: 1]"),
            r":9: class name \{'pug': 1\} was read as dict; put its text in quotes",
            id="colon-in-a-class",
        ),
        pytest.param(
            with_classes("  cats: [siam]\n  dogs: [a\u200bb]"),
            r":9: class name 'a\\u200bb' holds an invisible character; write it without",
            id="invisible",
        ),
    ],
)
def test_a_key_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str):
    test_defect_gives_one_line_with_file_line_culprit_and_remedy(tmp_path, text, complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(VARIANT.replace("pets", "pet"), r":4: no hierarchy 'pet'; known: few, pets. Mend", id="unknown"),
        pytest.param(VARIANT.replace("pets", "few"), r":4: 'few' is a variant itself; name the file", id="itself"),
        pytest.param(VARIANT + "source: digits\n", r":5: unknown key 'source': remove it", id="source"),
        pytest.param(VARIANT + CLASSES, r":5: unknown key 'classes': remove it", id="classes"),
        pytest.param(VARIANT.replace("pets", "[pets]"), r":4: of: .*valid string, got \['pets'\]", id="of-list"),
        pytest.param(VARIANT.replace("few", "less"), r":1: name 'less' must equal the file's stem 'few'", id="stem"),
        pytest.param(VARIANT + "coarse: genus\n", r":5: coarse: 'genus' is no level; use .*kind, breed", id="level"),
        pytest.param(VARIANT + "subclass_counts: [5]\n", r":5: 1 counts, but 'cats' has 2 classes", id="counts"),
    ],
)
def test_a_variant_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str):
    files = {name: tmp_path / f"{name}.yaml" for name in ("few", "pets")}
    files["pets"].write_text(HEADER + CLASSES)
    files["few"].write_text(text)
    with pytest.raises(InputError, match=re.escape(str(files["few"])) + complaint):
        hierarchy.load(files["few"], files)


def test_a_variant_of_a_broken_file_says_what_is_wrong_there(tmp_path: Path):
    files = {name: tmp_path / f"{name}.yaml" for name in ("few", "pets")}
    files["few"].write_text(VARIANT)
    for broken in (HEADER, "a: [", HEADER + CLASSES + "colour: red\n"):
        files["pets"].write_text(broken)
        with pytest.raises(InputError, match=r"few\.yaml:4: 'pets' is broken: .*pets\.yaml:\d+: "):
            hierarchy.load(files["few"], files)


# Characters for names: letters of several scripts, signs that mean something in YAML, quotes, a sign beyond 16 bits.
LETTERS = "abzAé ßλ中🐈0179-:,#'\"[]{}&*!|>%@`?\\/._~=<"
# Words that YAML 1.1 or 1.2 reads as something else when they stand without quotes.
WORDS = [
    "on",
    "no",
    "yes",
    "y",
    "null",
    "~",
    "true",
    "747",
    "0o7",
    "0x1F",
    "1e3",
    "1_0",
    "1:30",
    "2020-01-01",
    "=",
    "<<",
]
names = st.text(LETTERS, min_size=1, max_size=8).map(str.strip).filter(bool) | st.sampled_from(WORDS)


@st.composite
def trees(draw: st.DrawFn) -> tuple[tuple[str, ...], ...]:
    """Root-to-leaf paths of a random tree of two to four levels, no two classes of a level of one name."""
    paths: list[tuple[str, ...]] = [()]
    for _ in range(draw(st.integers(2, 4))):
        sizes = draw(st.lists(st.integers(1, 3), min_size=len(paths), max_size=len(paths)))
        below = iter(draw(st.lists(names, min_size=sum(sizes), max_size=sum(sizes), unique=True)))
        paths = [(*path, next(below)) for path, size in zip(paths, sizes, strict=True) for _ in range(size)]
    return tuple(paths)


def quoted(name: str, style: int) -> str:
    """A name as a double-quoted or single-quoted YAML scalar, or plain where a word of letters allows it."""
    if style == 0 and re.fullmatch("[a-zA-Z]{3,}", name) and name not in ("null", "true"):
        return name
    return json.dumps(name, ensure_ascii=False) if style == 1 else "'" + name.replace("'", "''") + "'"


def written(paths: Sequence[tuple[str, ...]], style: int, indent: str) -> str:
    """The tree below `classes:` as YAML in blocks."""
    lines = []
    for name, group in itertools.groupby(paths, key=lambda path: path[0]):
        below = [path[1:] for path in group]
        if below == [()]:
            lines.append(f"{indent}- {quoted(name, style)}\n")
        else:
            lines += [f"{indent}{quoted(name, style)}:\n", written(below, style, indent + "  ")]
    return "".join(lines)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(paths=trees(), style=st.integers(0, 2), data=st.data())
def test_random_trees_round_trip(tmp_path: Path, paths: tuple[tuple[str, ...], ...], style: int, data: st.DataObject):
    leaves = [path[-1] for path in paths]
    words = data.draw(st.dictionaries(st.sampled_from(leaves), names, max_size=3))
    ignore = data.draw(st.lists(names.filter(lambda name: name not in leaves), unique=True, max_size=3))
    levels = [f"level{i}" for i in range(len(paths[0]))]
    text = HEADER.replace("[kind, breed]", f"[{', '.join(levels)}]")
    text += "names: {" + ", ".join(f"{quoted(key, 1)}: {quoted(word, 2)}" for key, word in words.items()) + "}\n"
    text += f"ignore: [{', '.join(quoted(name, style) for name in ignore)}]\n"
    tree = load(tmp_path, text + "classes:\n" + written(paths, style, "  "))
    assert tree.paths == paths
    assert (tree.levels, tree.names, tree.ignore) == (tuple(levels), words, tuple(ignore))
    assert tree.coarse == levels[0] and tree.fine == levels[-1]


PIECES = [*"-:,[]{}#&*!|>'\"%@`?\\\t\n\r 0aé~=", "\u200b", "\xa0", "\ufeff", "\u2028", "\x85", "\x00", "🐈"]
PIECES += ["- a\n", "a: b\n", "  x: [y]\n", "<<: ", "!!", "!!str ", "!!binary ", "!!set ", "? ", "%YAML 1.1\n---\n"]
PIECES += [
    "---\n",
    "...\n",
    "null",
    "true",
    "1e3",
    "2020-99-99",
    "[" * 400,
    "{a: " * 60,
    "  " * 40,
    "target: [",
    "of: x\n",
]
KEYED = "target: [manx, collie]\nlong_tail: 10\nnames: {pug: Pug}\nignore: others\n"


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A file after up to four random deletions, copies, swaps, insertions (of characters, names, lines) or cuts."""
    text = draw(st.sampled_from([*SHIPPED, THREE, HEADER + KEYED + CLASSES]))
    for _ in range(draw(st.integers(1, 4))):
        pieces = re.findall(draw(st.sampled_from([r"(?s).", r".*\n?", r"\w+|\W+"])), text) or [""]
        at, to = (draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
        how = draw(st.sampled_from(["delete", "copy", "duplicate", "swap", "insert", "truncate"]))
        if how == "insert":
            pieces.insert(at, draw(st.sampled_from(PIECES)))
        elif how == "copy":
            pieces[at : at + 1] = pieces[at : at + 1] * 2
        elif how == "duplicate":
            pieces[to] = pieces[at]
        elif how == "swap":
            pieces[at], pieces[to] = pieces[to], pieces[at]
        else:
            del pieces[at : at + 1 if how == "delete" else None]
        text = "".join(pieces)
    return text


# What YAML 1.2 (section 10.3.2, "core schema") reads as no string, and dates, which ruamel.yaml adds.
NO_STRING = re.compile(
    r"null|Null|NULL|~||true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}"
)


def plain_leaves(text: str) -> Iterator[str]:
    """The leaves of `classes` by PyYAML's parser, which resolves nothing here, and the specification's own patterns."""
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    (classes,) = [value for key, value in root.value if key.value == "classes"]
    todo = [classes]
    while todo:
        node = todo.pop(0)
        if isinstance(node, yaml.MappingNode):
            todo[:0] = [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            todo[:0] = node.value
        else:
            assert node.style is not None or not NO_STRING.fullmatch(node.value), f"{node.value} is no string"
            yield node.value


@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=damaged())
def test_random_damage_yields_an_input_error_or_what_the_text_says(tmp_path: Path, text: str):
    stem = re.search(r"^name: (\S+)$", text, re.MULTILINE)
    path = tmp_path / f"{re.sub('[^a-z0-9-]', '', stem[1]) if stem else 'x'}.yaml"
    path.write_bytes(text.encode())
    examined, defects = hierarchy.examine(path)
    assert (examined is None) == any(not defect.note for defect in defects)
    assert all(0 <= defect.line <= text.count("\n") + text.count("\r") + 1 for defect in defects)
    assert all(defect.text.strip() for defect in defects)
    try:
        tree = hierarchy.load(path)
    except InputError as error:
        assert examined is None
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert tree == examined
        assert list(tree.leaves) == list(plain_leaves(text))
        assert len(set(tree.leaves)) == len(tree.leaves) >= 1
        assert all(len(route) == len(tree.levels) for route in tree.paths)
