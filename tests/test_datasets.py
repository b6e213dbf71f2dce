"""The shipped hierarchies: each loads, and says where it comes from."""

import re
from pathlib import Path

import pytest

from benchmark import hierarchy, registry

README = Path(__file__).parents[1] / "datasets" / "README.md"
FILES = sorted(registry.hierarchy_folder().glob("*"))


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=lambda path: path.stem)
def test_shipped_hierarchy_loads_and_documents_itself(path: Path):
    tree = hierarchy.load(path, registry.task_files())
    assert registry.task(path.stem).hierarchy == tree
    assert tree.title.strip() and len(tree.title) <= 80
    assert len(tree.provenance) >= 40
    assert tree.licence.strip()


def test_datasets_folder_holds_no_code():
    assert [path.name for path in FILES if path.suffix in (".py", ".pyc", ".so")] == []
    assert len([path for path in FILES if path.suffix == ".yaml"]) >= 38


def test_worked_examples_of_the_format_are_the_tasks_that_the_text_says(tmp_path: Path):
    text = (registry.hierarchy_folder() / "README.md").read_text()
    _, *examples = re.findall(
        r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    )  # the first shows every key at once
    for example in examples:
        (tmp_path / f"{re.match('name: (.*)', example)[1]}.yaml").write_text(example)
    shift, tail = registry.task("pets-shift", tmp_path), registry.task("my-tail", tmp_path)
    assert (shift.kind, len(shift.coarse_classes), len(shift.fine_classes)) == ("subpopulation-shift", 2, 4)
    assert shift.pretraining.hierarchy.leaves == ("n02123045", "n02099601")
    assert (tail.kind, len(tail.fine_classes), tail.hierarchy.long_tail) == ("long-tailed", 100, 20)


def test_every_shipped_file_is_in_the_table():
    table = README.read_text().partition("## Shipped")[2]
    assert [name for name in registry.task_files() if f"`{name}`" not in table] == []
