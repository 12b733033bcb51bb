"""`dry_run=true`: what a run would need, printed, before anything is written."""

from collections.abc import Sequence
from pathlib import Path

from jp_llm.runtime.errors import ExitCode, UserError
from preprocessing.config import CorpusConfig
from preprocessing.disk import (
    SourceEstimate,
    StageEstimate,
    disk_problem,
    estimate_sources,
    estimate_stages,
    free_bytes,
    used_bytes,
)
from preprocessing.execution.launcher import chosen, launch
from preprocessing.executor import available_cores
from preprocessing.inputs import plan_of


def dry_run(config: CorpusConfig) -> None:
    """Plan, measure a few MB of each source, and print units, disk and time.

    Raises:
        UserError: exit code 2: the disk will not hold it.
    """
    plan = plan_of(config)
    sources = estimate_sources(config, plan)
    stages = estimate_stages(config, sources)
    folder = Path(config.output_dir)
    print(report(sources, stages, folder, _workers(config)))
    problem = disk_problem(stages, folder)
    if problem:
        raise UserError(problem, code=ExitCode.CONFIG_REFUSED)


def _workers(config: CorpusConfig) -> int:
    """Processes of all machines that this launch would have."""
    started = launch()
    match chosen(config.backend, started):
        case "local":
            return config.num_workers or available_cores()
        case "mpi":
            return (config.num_workers or 1) * started.size
        case "slurm_array":
            return (config.num_workers or started.cpus or 1) * started.size * started.elements


def report(sources: Sequence[SourceEstimate], stages: Sequence[StageEstimate], folder: Path, num_workers: int) -> str:
    """The tables of sources and stages, then the sums."""
    lines = [_row("source", "files", "units", "input GB", "raw GB", "kept GB", "MB/s per core")]
    for item in sources:
        speed = item.raw_bytes / max(item.clean_seconds, 1e-9) / 1e6
        name = item.source + ("" if item.is_measured else " (not measured)")
        sizes = [f"{size / 1e9:,.2f}" for size in (item.input_bytes, item.raw_bytes, item.text_bytes)]
        lines.append(_row(name, f"{item.files:,}", f"{item.units:,}", *sizes, f"{speed:,.1f}"))
        if item.fetched:
            lines.append(
                f"  {item.fetched:,} units are fetched by the reader; their sizes are not known and not counted"
            )
    lines += ["", _row("stage", "peak GB", "then GB", "core-hours")]
    for stage in stages:
        cells = (stage.peak_bytes / 1e9, stage.end_bytes / 1e9, stage.core_seconds / 3600)
        lines.append(_row(stage.name, *(f"{cell:,.2f}" for cell in cells)))
    peak = max(stage.peak_bytes for stage in stages)
    given = sum(item.input_bytes for item in sources)
    seconds = sum(stage.core_seconds for stage in stages)
    wall = sum(stage.wall_seconds(num_workers) for stage in stages)
    final = stages[-1].end_bytes
    gigabytes = [size / 1e9 for size in (peak, free_bytes(folder), used_bytes(folder))]
    lines += [
        "",
        "peak below {}: {:,.2f} GB; free: {:,.2f} GB; in use by this corpus: {:,.2f} GB".format(folder, *gigabytes),
        f"input + peak: {(given + peak) / 1e9:,.2f} GB; input + 1.3 x final: {(given + 1.3 * final) / 1e9:,.2f} GB",
        f"{seconds / 3600:,.2f} core-hours; with {num_workers:,} workers {_clock(wall)}",
    ]
    return "\n".join(line.rstrip() for line in lines)


def _row(name: str, *cells: str) -> str:
    return f"{name:<28}" + "".join(f"{cell:>14}" for cell in cells)


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours:,} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"
