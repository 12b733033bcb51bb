"""A score that the user has trained on good and bad examples (`launch/train_quality.py`)."""

from functools import cached_property
from pathlib import Path

from pydantic import Field

from jp_llm.runtime.errors import UserError
from preprocessing.document import Document
from preprocessing.quality.model import QualityModel
from preprocessing.step import Filter


class QualityFilter(Filter):
    """Drops `low_quality`: scores below a minimum."""

    model: str
    """File that launch/train_quality.py has written."""
    minimum: float = Field(default=0.5, ge=0, le=1)
    """Least score. The training prints what different limits keep."""

    def problems(self) -> list[str]:
        try:
            self._model  # noqa: B018
        except UserError as error:
            return [f"model: {problem}" for problem in error.problems]
        return []

    def files(self) -> tuple[str, ...]:
        return (self.model,)

    @cached_property
    def _model(self) -> QualityModel:
        return QualityModel.load(Path(self.model))

    def reason(self, document: Document) -> str | None:
        return "low_quality" if self._model.score(document.view.folded[1]) < self.minimum else None
