"""Show what a run came to: `python launch/report.py run_dir=runs/first`."""

import sys

from jp_llm.config import app
from jp_llm.report.config import ReportConfig
from jp_llm.report.summary import run

if __name__ == "__main__":
    sys.exit(app.run("report", ReportConfig, run))
