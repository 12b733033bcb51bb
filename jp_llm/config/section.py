"""The base of every config section."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, refuses unknown keys and loose types; the docstring under a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    def problems(self) -> list[str]:
        """What is wrong between the fields of this section; keys are relative to it. Nothing when all is well."""
        return []
