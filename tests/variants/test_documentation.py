"""The table of variant kinds in config/README.md."""

import pytest

from conftest import ROOT
from rankone.errors import UserError
from rankone.variants import documentation


def test_the_table_in_the_docs_is_that_of_the_kinds():
    text = (ROOT / "config" / "README.md").read_text("utf-8")
    assert documentation.renewed(text) == text, (
        "config/README.md is stale; renew it with PYTHONPATH=workflow/scripts python "
        "-m rankone.variants.documentation config/README.md"
    )


def test_only_what_is_between_the_marks_is_renewed():
    text = f"a\n{documentation.BEGIN}\nold\n{documentation.END}\nz\n"
    renewed = documentation.renewed(text)
    assert renewed.startswith(f"a\n{documentation.BEGIN}\n")
    assert renewed.endswith(f"{documentation.END}\nz\n")
    assert "old" not in renewed and documentation.table() in renewed


def test_a_document_without_the_marks_is_refused():
    with pytest.raises(UserError, match="has no place for the variant kinds"):
        documentation.renewed("text")
