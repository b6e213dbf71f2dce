"""What is read from the methods' source, against the imported classes."""

import pytest

from benchmark import method_cards, registry


@pytest.mark.parametrize("name", registry.shipped_method_files())
def test_a_file_says_what_its_class_says(name):
    assert method_cards.of_file(registry.shipped_method_files()[name]) == method_cards.of_class(
        registry.methods()[name]
    )


def test_the_names_are_those_of_the_classes():
    assert list(registry.method_names()) == sorted(registry.methods())


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("    title: str = 'a'", "missing"),
        ("    title: str = name()", r"found name\(\)"),
        ("    title: str", "nothing"),
    ],
)
def test_what_cannot_be_read_says_which_file(body, complaint, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"class Mine:\n{body}\n")
    with pytest.raises(ValueError, match=rf"mine.py: .*{complaint}"):
        method_cards.of_file(path)
