"""The end of a run: `report.json` for programs and `report.html` for people, the same facts in both."""

from pathlib import Path

from jp_llm.page.document import write_document
from jp_llm.runtime.files import write_json
from preprocessing.config import CorpusConfig
from preprocessing.report.data import report_of
from preprocessing.report.page import page_of
from preprocessing.summary import Summaries

REPORT_FILE, PAGE_FILE = "report.json", "report.html"


def write_reports(folder: Path, config: CorpusConfig, summaries: Summaries) -> None:
    """Write both files into the output folder. The same corpus gives the same files, but for the times in them."""
    report = report_of(folder, config, summaries)
    write_json(folder / REPORT_FILE, report)
    write_document(folder / PAGE_FILE, page_of(report))
