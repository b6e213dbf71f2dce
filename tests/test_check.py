"""c2f check: all defects of the files, the names of the images at hand, the pinned digests; one line each."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from test_hierarchy import CLASSES, HEADER, damaged

from benchmark import check, hierarchy, registry
from benchmark.errors import InputError

DIGITS = """\
name: pets
version: 1
title: Digits in two groups
source: digits
image_size: 8
levels: [half, digit]
classes:
  low:
    - "0"
    - "1"
    - "2"
    - "3"
    - "4"
  high: ["5", "6", "7", "8", "9"]
"""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Checks a text as pets.yaml; gives the lines of the report."""
    monkeypatch.chdir(tmp_path)

    def examine(text: str, root: str = "data") -> list[str]:
        Path("pets.yaml").write_text(text, encoding="utf-8")
        return [str(finding) for finding in check.examine(Path("pets.yaml"), Path(root))]

    return examine


def folders(root: Path, *classes: str) -> None:
    for name in classes:
        (root / "pets" / "train" / name).mkdir(parents=True)


def test_a_sound_file_whose_names_fit_has_nothing_to_say(report: Callable[..., list[str]]):
    assert report(DIGITS) == []


def test_names_that_the_data_lack_and_names_that_nobody_claims(report: Callable[..., list[str]]):
    assert report(DIGITS.replace('- "3"', "- three").replace('- "1"', "- one")) == [
        "pets.yaml:10: error: 2 classes without images: one, three; remove them or mend the data",
        "pets.yaml: error: 2 classes of the data that nobody claims: 1, 3; list them, if only under `ignore`",
    ]


@pytest.mark.parametrize("ignore", ["others", "['3', '1']"])
def test_ignored_classes_of_the_data_are_claimed(report: Callable[..., list[str]], ignore: str):
    text = DIGITS.replace('    - "1"\n', "").replace('    - "3"\n', "")
    assert report(text.replace("classes:", f"ignore: {ignore}\nclasses:")) == []


def test_folders_are_compared_by_name(report: Callable[..., list[str]], tmp_path: Path):
    folders(tmp_path, "siam", "manx", "pug", "husky", "beagle")
    assert report(HEADER + CLASSES, ".") == [
        "pets.yaml:9: error: 1 classes without images: collie; remove them or mend the data",
        "pets.yaml: error: 2 classes of the data that nobody claims: beagle, husky; list them, if only under `ignore`",
    ]


def test_images_that_are_not_at_hand_are_a_note(report: Callable[..., list[str]]):
    (note,) = report(HEADER + CLASSES)
    assert note == (
        "pets.yaml: note: images of imagefolder/pets not at hand, names not compared; c2f doctor says how to get them"
    )


def test_a_source_that_does_not_exist_is_an_error(report: Callable[..., list[str]]):
    (error,) = report(HEADER.replace("imagefolder/pets", "torchvision/PETS") + CLASSES)
    assert error.startswith("pets.yaml: error: unknown source 'torchvision/PETS'; use one of: torchvision/CIFAR10")


def test_a_file_that_makes_no_task_is_an_error(report: Callable[..., list[str]]):
    *notes, error = report(HEADER.replace("imagefolder/pets", "synthetic/4") + "classes: {cats: [siam], dogs: [pug]}\n")
    assert [note.split(": ")[1] for note in notes] == ["note"]
    assert error.startswith("pets.yaml: error: 'kind' has 2 classes and 'breed' 2; coarse-to-fine transfer needs")


def test_syntax_and_bytes_are_reported_like_the_rest(report: Callable[..., list[str]]):
    (error,) = report("name: [pets\n")
    assert error.startswith("pets.yaml:2: error: not valid YAML: ")
    Path("pets.yaml").write_bytes(b"name: caf\xe9\n")
    (finding,) = check.examine(Path("pets.yaml"), None)
    assert str(finding) == "pets.yaml: error: not UTF-8 at byte 9; save it as UTF-8"


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=damaged())
def test_check_and_load_agree_on_random_damage(tmp_path: Path, text: str):
    path = tmp_path / "pets.yaml"
    path.write_bytes(text.replace("name: cifar100-superclass", "name: pets").encode())
    errors = [finding for finding in check.examine(path, None) if not finding.defect.note]
    try:
        registry.task_of(hierarchy.load(path, {}), path)
    except InputError:
        assert errors
    else:
        assert not errors


def test_every_shipped_file_passes(tmp_path: Path):
    files = check.paths([], True)
    assert files == list(registry.task_files().values())
    assert [str(each) for each in check.findings(files, True, tmp_path) if not each.defect.note] == []


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the shipped one, with one file and its pin."""
    shutil.copy(registry.hierarchy_folder() / "digits-halves.yaml", tmp_path)
    monkeypatch.setattr(registry, "hierarchy_folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    digest = registry.task("digits-halves").hierarchy.digest
    (tmp_path / check.PINS).write_text(f"digits-halves 1 {digest}\n")
    return tmp_path


def of_all() -> list[str]:
    return [str(finding) for finding in check.findings(check.paths([], True), True, Path("data"))]


def test_a_digest_changes_with_the_version_and_the_pin(shipped: Path):
    file, pins = shipped / "digits-halves.yaml", shipped / check.PINS
    assert of_all() == []
    file.write_text(file.read_text().replace("image_size: 8", "image_size: 16"))
    (error,) = of_all()
    digest = registry.task("digits-halves").hierarchy.digest
    assert error == (
        f"digits-halves.yaml: error: the digest has changed to {digest} and the version has not; raise `version`"
    )
    file.write_text(file.read_text().replace("version: 1", "version: 2"))
    wanted = f"digits-halves 2 {digest}"
    assert of_all() == [f"digests.txt: error: the line of digits-halves is missing or old; make it `{wanted}`"]
    pins.write_text(wanted + "\n")
    assert of_all() == []


def test_a_pin_without_a_file_and_a_malformed_one(shipped: Path):
    pins = shipped / check.PINS
    pins.write_text(pins.read_text() + "gone 1 abc\nwhat\n")
    expected = "expected NAME VERSION DIGEST of a shipped file, found"
    assert of_all() == [
        f"digests.txt:2: error: {expected} 'gone 1 abc'; remove it",
        f"digests.txt:3: error: {expected} 'what'; remove it",
    ]


def test_files_of_users_have_no_pins(report: Callable[..., list[str]]):
    assert report(DIGITS.replace("version: 1", "version: 7")) == []


def test_a_variant_finds_its_base_beside_it_and_among_the_shipped(report: Callable[..., list[str]], tmp_path: Path):
    (tmp_path / "base.yaml").write_text(DIGITS.replace("name: pets", "name: base"))
    words = "name: pets\nversion: 1\ntitle: T\nlong_tail: 10\n"
    assert report(words + "of: base\n") == report(words + "of: digits-halves\n") == []


@pytest.mark.parametrize(
    ("targets", "everything", "complaint"),
    [
        ([], False, "expected hierarchies to check, or --all, and not both"),
        (["digits-halves"], True, "expected hierarchies to check, or --all, and not both"),
        (["digits-halve"], False, "unknown task 'digits-halve'; did you mean 'digits-halves'"),
        (["no/pets"], False, "no/pets: no such file; check the path"),
        (["pets.yaml"], False, "pets.yaml: no such file; check the path"),
    ],
)
def test_what_to_check_is_said_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, targets: list[str], everything: bool, complaint: str
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=complaint):
        check.paths(targets, everything)
