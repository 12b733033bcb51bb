"""The base of every config section."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """Frozen, refuses unknown keys and loose types; the docstring under a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    @classmethod
    def completed(cls, values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """`values` with what follows from files that they name, and what is wrong with that; before they are judged.

        Raises:
            UserError: such a file is damaged.
        """
        return values, []

    def problems(self) -> list[str]:
        """What is wrong between the fields of this section; keys are relative to it. Nothing when all is well."""
        return []


def _several(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


OneOrSeveral = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""A list of texts; on the command line a single one needs no brackets."""
