"""Personal data: numbers and addresses of people give way to placeholders. Names of people need a model: not done."""

from collections import Counter
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator

from preprocessing.document import Document
from preprocessing.mappers._mail import find_mail
from preprocessing.mappers._personal_numbers import Found, find_numbers
from preprocessing.step import Mapper

Kind = Literal[
    "phone",
    "mail",
    "postal_code",
    "my_number",
    "card",
    "ip",
    "toll_free",
    "line_id",
    "passport",
    "bank_account",
    "account_name",
]


class PersonalDataMapper(Mapper):
    """Masks what `kinds` names; docs/normalisation.md has the forms and checks of each. Tallies the items by kind.

    Corporate numbers, ISBN and order numbers, prices and years are left alone. Nothing of the original is kept.
    """

    sensitive: ClassVar[bool] = True

    kinds: tuple[Kind, ...] = ("phone", "mail", "postal_code", "my_number", "card", "ip", "passport", "bank_account")
    """Not by default: toll_free (numbers of businesses), line_id, account_name (@names)."""
    disguised_mail: bool = True
    """Also addresses with ★, [at] or (アット) for @."""
    placeholders: dict[str, str] = Field(default_factory=dict)
    """Kind -> what stands in its place; others get their name in angle brackets, e.g. <phone>."""

    @field_validator("kinds", mode="before")
    @classmethod
    def _tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def problems(self) -> list[str]:
        unknown = sorted(set(self.placeholders) - set(get_args(Kind)))
        found = [f"placeholders: {kind} is none of {', '.join(get_args(Kind))}" for kind in unknown]
        found += ["kinds: name at least one"] if not self.kinds else []
        return found

    def map(self, document: Document, tally: Counter[str]) -> str:
        text = document.text
        parts: list[str] = []
        position = 0
        for item in self.find(text):
            parts += [text[position : item.start], self.placeholders.get(item.kind, f"<{item.kind}>")]
            position = item.end
            tally[item.kind] += 1
        return "".join([*parts, text[position:]]) if parts else text

    def find(self, text: str) -> list[Found]:
        """What would be masked, in order and without overlaps."""
        found = [*find_mail(text, self.kinds, self.disguised_mail), *find_numbers(text, self.kinds)]
        # Of two that begin together the longer one: numbers are also names in mail addresses.
        found.sort(key=lambda item: (item.start, -item.end))
        kept: list[Found] = []
        for item in found:
            if not kept or item.start >= kept[-1].end:
                kept.append(item)
        return kept
