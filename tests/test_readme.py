"""The README's table is the one the published rows make, and its commands are the ones CI runs."""

import re
from pathlib import Path

import pytest

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


def test_the_two_set_up_commands_stand_alone():
    assert "\npip install -e . && python run_benchmark.py\n" in README
    assert "\npip install -e '.[dev]' && pytest\n" in README


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
