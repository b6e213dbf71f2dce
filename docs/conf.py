"""The documentation: Markdown pages as they are, and a reference written from the code as the pages are built."""

import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "100"  # of help texts, whatever the terminal
DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import reference  # noqa: E402

import benchmark  # noqa: E402

project, author, release = "c2f-benchmark", "the c2f-benchmark authors", benchmark.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = f"c2f-benchmark {release}"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links to files beside the docs; tests/test_readme.py follows them all
autodoc_member_order = "bysource"
autodoc_typehints = "description"


def setup(app: Any) -> None:
    """Write the generated pages before Sphinx looks for pages."""
    reference.write(DOCS / "reference")
    app.connect("autodoc-process-docstring", _plain, priority=100)


def _plain(app: Any, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: norms are no substitutions, and `names` are literals."""
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line).replace("|", r"\|") for line in lines]
