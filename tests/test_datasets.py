"""The shipped hierarchies: each loads, and says where it comes from."""

from pathlib import Path

import pytest

from benchmark import hierarchy, registry

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
