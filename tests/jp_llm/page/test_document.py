from pathlib import Path

from parsed_html import ParsedHtml

from jp_llm.page.document import document, facts, table, table_row, write_document
from jp_llm.page.element import element


def test_a_page_fetches_nothing_and_runs_nothing(tmp_path: Path) -> None:
    hostile = "</style><script>alert(1)</script>\ud800"
    rows = [table_row((hostile, element("b", hostile)), hostile)]
    write_document(tmp_path / "page.html", document(hostile, table([hostile], rows), facts([(hostile, hostile)])))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    tags = {tag for tag, _ in ParsedHtml(page).tags}
    assert not {"script", "link", "img", "iframe", "base"} & tags
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page
    assert page.count("</style>") == 1
    assert "prefers-color-scheme: dark" in page
