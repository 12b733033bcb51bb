"""What `launch/report.py` reads (`configs/report.yaml`)."""

from jp_llm.config.section import OneOrSeveral, Section

PAGE_FILE = "report.html"


class ReportConfig(Section):
    """A run, and what was made of it; or several runs side by side."""

    run_dir: OneOrSeveral = ()
    """Run folder of launch/train.py; several, e.g. [runs/a,runs/b], are compared in one page."""
    output: str | None = None
    """The page to write; null writes report.html into the run folder. Several runs need a name."""
    model: str | None = None
    """Hugging Face folder that was exported from the run; for the table on the terminal."""
    evaluation: str | None = None
    """JSON file of launch/evaluate.py; null takes evaluation.json of the run folder, if there is one."""
    texts: str | None = None
    """JSON Lines file of launch/generate.py; for the table on the terminal."""

    def problems(self) -> list[str]:
        if not self.run_dir:
            return ["run_dir: name a run folder, e.g. run_dir=runs/first"]
        if len(self.run_dir) == 1:
            return []
        found = [
            f"{key}: belongs to one run, but run_dir names {len(self.run_dir)}"
            for key in ("model", "evaluation", "texts")
            if getattr(self, key) is not None
        ]
        if self.output is None:
            found.append("output: name the page of several runs, e.g. output=compare.html")
        return found
