"""The stream of web documents, defects included. Memory does not grow with its length."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from preprocessing.sample.compose import ComposedText, compose_long_page, compose_page
from preprocessing.sample.defects.boilerplate import plant_boilerplate
from preprocessing.sample.defects.characters import CHARACTER_DEFECTS
from preprocessing.sample.defects.duplicates import EDIT_RATES, nearly
from preprocessing.sample.defects.encodings import mojibake, replacement_characters
from preprocessing.sample.defects.personal_data import plant_other_numbers, plant_personal_data
from preprocessing.sample.defects.planting import Planting
from preprocessing.sample.defects.urls import plant_urls
from preprocessing.sample.document import Defect, SampleDocument
from preprocessing.sample.schedule import Schedule

_REMEMBERED = 200
"""Documents that later ones may be duplicates of."""
_INSERTED = {
    "url": plant_urls,
    "personal_data": plant_personal_data,
    "not_personal_data": plant_other_numbers,
}


@dataclass
class WebCorpus:
    """Documents for all web sources; duplicates may stand in another source than their originals."""

    seed: int

    def __post_init__(self) -> None:
        self._originals: deque[SampleDocument] = deque(maxlen=_REMEMBERED)
        self._near_duplicates = 0

    def documents(
        self, source: str, characters: int, *, long_every: int = 0, long_characters: int = 0
    ) -> Iterator[SampleDocument]:
        """Documents of `source` until they have `characters` characters; every `long_every`-th one is long."""
        schedule = Schedule(self.seed, source)
        written = index = 0
        while written < characters:
            rng = Random(f"{self.seed}/{source}/{index}")
            long = long_every and index % long_every == 0
            kinds = [] if long else schedule.defects(index)
            composed = compose_long_page(rng, long_characters) if long else compose_page(rng)
            document = self._document(rng, f"{source}-{index:06d}", composed, kinds)
            written += len(document.raw)
            index += 1
            yield document

    def _document(self, rng: Random, id: str, composed: ComposedText, kinds: list[str]) -> SampleDocument:
        register, text = composed.register, composed.text
        if "exact_duplicate" in kinds and self._originals:
            return self._exact_duplicate(rng, id)
        if "near_duplicate" in kinds and self._originals:
            return self._near_duplicate(rng, id, text)
        if "mojibake" in kinds:
            raw, defect = mojibake(rng, text)
            return SampleDocument(id, register, "", raw, None, expected="reject", reason="mojibake", defects=(defect,))
        if "replacement_character" in kinds:
            raw, defects = replacement_characters(rng, text)
            reason = "replacement_characters"
            return SampleDocument(id, register, "", raw, None, expected="reject", reason=reason, defects=defects)
        planting = Planting(text)
        for kind, plant in _INSERTED.items():
            if kind in kinds:
                plant(rng, planting)
        for kind in [kind for kind in CHARACTER_DEFECTS if kind in kinds][:1]:
            CHARACTER_DEFECTS[kind](rng, planting)
        if "boilerplate" in kinds:
            plant_boilerplate(rng, planting)
        raw, defects = planting.raw()
        document = SampleDocument(id, register, "", raw, planting.clean, defects=defects)
        if not defects:
            self._originals.append(document)
        return document

    def _exact_duplicate(self, rng: Random, id: str) -> SampleDocument:
        original = rng.choice(self._originals)
        defect = Defect("exact_duplicate", details={"of": original.id})
        return SampleDocument(
            id, original.register, "", original.raw, original.clean, expected="duplicate", defects=(defect,)
        )

    def _near_duplicate(self, rng: Random, id: str, donor: str) -> SampleDocument:
        original = rng.choice(self._originals)
        target = EDIT_RATES[self._near_duplicates % len(EDIT_RATES)]
        self._near_duplicates += 1
        text, distance = nearly(rng, original.raw, donor, target)
        rate = round(distance / len(original.raw), 4)
        details = {"of": original.id, "distance": distance, "edit_rate": rate, "target_rate": target}
        defect = Defect("near_duplicate", details=details)
        return SampleDocument(id, original.register, "", text, text, expected="duplicate", defects=(defect,))
