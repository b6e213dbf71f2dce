"""The README's table is the one the published rows make, and its commands are the ones CI runs."""

import re
from pathlib import Path

import pytest

from benchmark import catalogue, conformance, registry, verify
from benchmark.report import table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "results/published/README.md", "docs/am-mixup.md"])
def test_tables_are_made_from_the_published_rows(page):
    text = (ROOT / page).read_text()
    blocks = re.findall(r"<!-- table: (\S+)(?: --columns (\S+))? -->\n(.*?)<!-- end -->", text, flags=re.DOTALL)
    assert blocks
    for source, columns, block in blocks:
        shown = columns.split(",") if columns else (*table.TRANSFER, *table.COLLAPSE)
        assert block.strip() == table.markdown(table.read(ROOT / source), shown).strip(), source


@pytest.mark.parametrize("folder", verify.folders([ROOT / "results/published"]), ids=lambda folder: folder.name)
def test_published_rows_verify(folder):
    verdicts = list(verify.verify(folder))
    assert verdicts and {verdict.state for verdict in verdicts} <= {"equal", "other version"}
    if folder.name in ("quickstart", "methods", "cifar100-superclass-cpu"):
        assert {verdict.state for verdict in verdicts} == {"equal"}


def test_lists_are_made_from_the_registry():
    blocks = re.findall(r"<!-- list: (\w+) -->\n(.*?)<!-- end -->", (ROOT / "docs/methods.md").read_text(), re.DOTALL)
    assert [kind for kind, _ in blocks] == ["methods", "parameters"]
    for kind, block in blocks:
        assert block.strip() == catalogue.markdown(catalogue.listing(kind)).strip(), f"c2f list {kind} --markdown"


def test_the_docs_method_of_ones_own_keeps_the_contract(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/methods.md").read_text(), re.DOTALL)
    (tmp_path / "pixel_dropout.py").write_text(code)
    monkeypatch.setattr(registry, "_plugins", {})
    registry.add_plugin(tmp_path / "pixel_dropout.py")
    findings = list(conformance.examine(registry.method("pixel_dropout", {})))
    assert len(findings) >= 13 and not [finding for finding in findings if finding.problem or finding.skipped]


def test_the_two_set_up_commands_stand_alone():
    assert "\npip install -e . && python run_benchmark.py\n" in README
    assert "\npip install -e '.[dev]' && pytest\n" in README


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
