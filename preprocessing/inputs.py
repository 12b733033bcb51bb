"""What a corpus is made from: looked up once, compared when a run is continued."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of
from jp_llm.texts.streams import DamagedFile
from preprocessing.config import CorpusConfig, SourceConfig
from preprocessing.plan import InputFile, Large, Plan, Planner, Unit, fetched_units, find_files


def plan_of(config: CorpusConfig) -> Plan:
    """The files of all sources, and the units that they are divided into.

    Raises:
        UserError: inputs are missing, cannot be read or are damaged; all such problems.
    """
    problems: list[str] = []
    files: dict[str, list[InputFile]] = {}
    side_files: dict[str, str] = {}
    large: list[Large] = []
    units: list[Unit] = []
    for name, source in config.sources.items():
        try:
            side_files |= {path: sha256_of(Path(path)) for path in source.side_files()}
            if (parts := source.build_reader().parts()) is not None:
                units += fetched_units(name, parts)
                continue
            skip = config.on_damaged_file == "skip"
            files[name] = find_files(source.paths, source.files, config.max_decompression_ratio, skip_unreadable=skip)
            planner = _planner(config, name, source)
            large += planner.large(files[name])
            units += planner.units(files[name])
        except UserError as error:
            problems += [f"sources.{name}.paths: {problem}" for problem in error.problems]
        except DamagedFile as error:
            problems.append(f"sources.{name}.paths: {error}. Fetch the file again, or set on_damaged_file=skip")
        except OSError as error:
            problems.append(f"sources.{name}: {error.filename}: {error.strerror}")
    if problems:
        raise UserError(*problems)
    return Plan(files, side_files, large, units)


def check_unchanged(before: Plan, now: Plan, folder: Path) -> None:
    """
    Raises:
        UserError: files were added, are gone or have changed; each is named.
    """
    if problems := before.changes(now):
        raise UserError(
            *problems, f"{folder} was begun with other input files; bring them back, or choose another output_dir"
        )


def in_order(units: Sequence[Unit], sources: Mapping[str, SourceConfig]) -> list[Unit]:
    """The units by source, in the order of the configuration, and by number."""
    places = {name: place for place, name in enumerate(sources)}
    return sorted(units, key=lambda unit: (places[unit.source], unit.index))


def _planner(config: CorpusConfig, name: str, source: SourceConfig) -> Planner:
    return Planner(
        source=name,
        unit_bytes=config.unit_bytes,
        cut_at=source.build_reader().cut_at,
        select=source.files,
        max_ratio=config.max_decompression_ratio,
        skip_damaged=config.on_damaged_file == "skip",
        split_above_bytes=config.split_above_bytes,
    )
