"""What could not be kept of a page."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Losses:
    """Counts of what went."""

    removed: Counter[str] = field(default_factory=Counter)
    """Kind -> number of places; `section_characters`: length of what was cut with whole sections."""
    unknown_templates: Counter[str] = field(default_factory=Counter)
    """Name -> number of uses of templates that no table knows; they are removed."""
