"""The strict YAML reader: every complaint is one line that names file, line, culprit and remedy."""

import re
from pathlib import Path

import pytest

from benchmark import documents
from benchmark.errors import InputError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "doc.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("a: 1\nb: 2\na: 3\n", r":3: key 'a' repeated, first on line 1; remove", id="repeated-key"),
        pytest.param("a:\n  x: 1\n  x: 2\n", r":3: key 'x' repeated, first on line 2; remove", id="repeated-inner-key"),
        pytest.param("1: a\n'1': b\n", r":2: key '1' repeated, first on line 1", id="repeated-once-quoted"),
        pytest.param("a: &x [1]\nb: *x\n", r":1: anchors and aliases are not allowed; write", id="alias"),
        pytest.param("a: 1\nb: &x 2\n", r":2: anchors and aliases are not allowed; write", id="unused-anchor"),
        pytest.param("a: 1\nb: [&x 2, &x 3]\n", r":2: anchors and aliases are not allowed", id="reused-anchor"),
        pytest.param("a: 1\n&x b: 2\n", r":2: anchors and merge keys are not allowed", id="anchored-key"),
        pytest.param("a: 1\n<<: {b: 2}\n", r":2: anchors and merge keys are not allowed; write", id="merge-key"),
        pytest.param("a: 1\nb: [2\n", r":3: not valid YAML: .*; fix the syntax", id="syntax"),
        pytest.param("a: 1\nb: *x\n", r":2: not valid YAML: found undefined alias 'x'", id="undefined-alias"),
        pytest.param("a: 1\n---\nb: 2\n", r":2: not valid YAML: .*another document", id="two-documents"),
        pytest.param("a: !!python/object:os.system x\n", r":1: not valid YAML: could not determine", id="python-tag"),
        pytest.param("a: !!bool x\n", r":1: not valid YAML: 'x'; fix the syntax", id="bad-bool"),
        pytest.param("a: 1\nb: [c, 2020-99-99]\n", r":2: not valid YAML: month must be in 1..12; fix", id="bad-date"),
        pytest.param("a: \x00\n", r": not valid YAML: unacceptable character #x0000", id="nul-byte"),
        pytest.param("a: 1\nb\u2028: 2\n", r":2: invisible character U\+2028 in line; delete it", id="line-separator"),
        pytest.param("a: 1\r\nb: [c,\r\n\x85 d]", r":3: invisible character U\+0085 in line", id="next-line"),
        pytest.param("- a\n- b\n", r":1: expected a mapping of keys, found list", id="top-level-list"),
        pytest.param("", r":1: expected a mapping of keys, found NoneType", id="empty"),
        pytest.param("a: " + "[" * 1000, r": nested too deeply; a hierarchy has a few levels", id="absurd-nesting"),
        pytest.param(b"a: caf\xe9\n", r": not UTF-8 at byte 6; save it as UTF-8", id="latin-1"),
    ],
)
def test_unreadable_text_gives_one_line_with_file_line_culprit_and_remedy(
    tmp_path: Path, text: str | bytes, complaint: str
):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=re.escape(str(path)) + complaint) as caught:
        documents.read(path)
    assert "\n" not in str(caught.value)


def test_missing_file_says_check_the_path(tmp_path: Path):
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read \(No such file or directory\); check the path"):
        documents.read(tmp_path / "absent.yaml")


def test_file_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path, "a: 1\n" + "#" * (1 << 20))
    monkeypatch.setattr(documents, "MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match=r"doc\.yaml: larger than 1 MiB; is this the right file\?"):
        documents.read(path)


def test_yaml_1_2_keeps_on_no_and_yes_strings(tmp_path: Path):
    assert documents.read(write(tmp_path, "a: [on, no, yes, off, y]\non: no\n")).data == {
        "a": ["on", "no", "yes", "off", "y"],
        "on": "no",
    }


def test_error_falls_back_to_the_nearest_enclosing_line(tmp_path: Path):
    document = documents.read(write(tmp_path, "a: 1\n\nb:\n  c: [5,\n      6]\n"))
    lines = {place: str(document.error(place, "x")) for place in [("b", "c", 1), ("b", "c", 9), ("b", "z"), ("q",)]}
    expected = {("b", "c", 1): 5, ("b", "c", 9): 4, ("b", "z"): 3, ("q",): 1}
    assert lines == {place: f"{document.path}:{line}: x" for place, line in expected.items()}
