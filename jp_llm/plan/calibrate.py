"""`python launch/plan.py calibrate run_dir=runs/first cluster=a100-80gb`: how fast a run really was, as an efficiency
of the cluster with which the planner predicts the same.

One number is fitted, `cluster.matmul_efficiency`: what a published figure says least about, and what most of a step
is spent on. The time between steps (evaluation, samples, saves) is in no record and plays no part.
"""

import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jp_llm.config.app import CONFIG_FOLDER
from jp_llm.config.arithmetic import peak_flops
from jp_llm.config.build import build
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.config.section import Section
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json_lines
from jp_llm.runtime.run_folder import RunFolder

Predict = Callable[[RunConfig, Layout, ClusterConfig], float]
"""Seconds of one training step, as the planner computes them."""

EFFICIENCY = "matmul_efficiency"
WARM_UP_STEPS = 5
"""After a start, in which libraries choose kernels, buffers are made and connections opened."""
FEWEST_RECORDS = 5
LOWEST = 1e-4

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class CalibrateConfig(Section):
    """A run, and the cluster on which it ran."""

    run_dir: str = ""
    """Run folder of launch/train.py, under way or ended; its last start counts."""
    cluster: ClusterConfig | None = None
    """What is known of the hardware."""
    output: str | None = None
    """Name of a new cluster file: output=ours writes configs/cluster/ours.yaml, which cluster=ours then chooses."""

    def problems(self) -> list[str]:
        found = []
        if not self.run_dir:
            found.append("run_dir: name a run folder, e.g. run_dir=runs/first")
        if self.cluster is None:
            found.append("cluster: choose the hardware of that run, e.g. cluster=a100-80gb (--help lists the files)")
        if self.output is not None and not _NAME.fullmatch(self.output):
            found.append(f"output: {self.output!r} must be a name of letters, digits, dots, dashes and underscores")
        return found


@dataclass(frozen=True)
class Measured:
    """The speed of a run since it was last started."""

    config: RunConfig
    layout: Layout
    device: str
    """CUDA name of the GPUs, or cpu."""
    seconds: float
    """Per step: the median of the records."""
    quartiles: tuple[float, float]
    num_records: int


@dataclass(frozen=True)
class Calibration:
    """What was measured, what was expected, and with which efficiency the two agree."""

    measured: Measured
    cluster: ClusterConfig
    """As given, with as many nodes as the run had."""
    predicted_seconds: float
    efficiency: float

    @property
    def override(self) -> str:
        """For the command line of any door."""
        return f"cluster.{EFFICIENCY}={self.efficiency:.4g}"


def calibrate(run_dir: Path, cluster: ClusterConfig, predict: Predict) -> Calibration:
    """Fit `cluster` to a run.

    Raises:
        UserError: the folder cannot be read, holds too few steps, or the run was on other hardware; or no efficiency
            up to 1 explains its speed.
    """
    run = measure(run_dir)
    mismatch = hardware_problem(run, cluster)
    if mismatch:
        raise UserError(mismatch)
    nodes = -(-run.layout.world_size // cluster.devices_per_node)
    cluster = cluster.model_copy(update={"nodes": nodes})

    def seconds(changed: ClusterConfig) -> float:
        return predict(run.config, run.layout, changed)

    return Calibration(run, cluster, seconds(cluster), solve(seconds, run.seconds, cluster))


def solve(predict: Callable[[ClusterConfig], float], measured_seconds: float, cluster: ClusterConfig) -> float:
    """The `matmul_efficiency` with which `predict` gives the measured time; by bisection, to 1e-6 of itself.

    Args:
        predict: seconds of a step on a cluster; falls with the efficiency.

    Raises:
        UserError: even with 1 the step would take longer, or even with `LOWEST` not as long.
    """

    def seconds(efficiency: float) -> float:
        return predict(cluster.model_copy(update={EFFICIENCY: efficiency}))

    low, high = LOWEST, 1.0
    fastest, slowest = seconds(high), seconds(low)
    if not fastest <= measured_seconds <= slowest:
        side = f"less than the {fastest:.3g} s" if measured_seconds < fastest else f"more than the {slowest:.3g} s"
        raise UserError(
            f"cluster.{EFFICIENCY}: a step took {measured_seconds:.3g} s, {side} of any efficiency from {LOWEST} to 1; "
            "look at what else the cluster file says, first of all cluster.peak_tflops and the bandwidths"
        )
    while high > low * (1 + 1e-6):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if seconds(middle) > measured_seconds else (low, middle)
    return high


def measure(run_dir: Path) -> Measured:
    """Seconds per step of the last start of a run, without its first steps and those whose update was skipped.

    Raises:
        UserError: what is missing in the folder, and what to do.
    """
    folder = RunFolder(run_dir)
    config = _resolved_config(folder)
    starts = [event for event in _lines(folder.events) if event.get("event") in ("start", "resume")]
    if not starts:
        raise UserError(f"{run_dir}: nothing was trained yet (events.jsonl has no start)")
    start = starts[-1]
    missing = [key for key in ("step", "world_size", "device") if key not in start]
    if missing:
        raise UserError(
            f"{folder.events}: the last start does not say {', '.join(missing)}, so it is of an older version; train "
            "a few steps with this one"
        )
    speeds = _speeds(folder, first_step=start["step"] + WARM_UP_STEPS + 1)
    if len(speeds) < FEWEST_RECORDS:
        raise UserError(
            f"{run_dir}: {len(speeds)} records of speed since the start at step {start['step']}, the first "
            f"{WARM_UP_STEPS} steps not counted; let it train until there are {FEWEST_RECORDS} (there is one in "
            f"{config.train.log_every_steps} steps)"
        )
    tokens = config.train.global_batch_size * config.seq_length
    seconds = [tokens / speed for speed in speeds]
    first, median, third = statistics.quantiles(seconds, n=4, method="inclusive")
    layout = config.parallel.layout(start["world_size"])
    return Measured(config, layout, start["device"], median, (first, third), len(seconds))


def _resolved_config(folder: RunFolder) -> RunConfig:
    if not folder.resolved_config.is_file():
        raise UserError(f"{folder.path}: no {folder.resolved_config.name}; name the run_dir of launch/train.py")
    try:
        tree = yaml.safe_load(folder.resolved_config.read_text(encoding="utf-8"))
        if not isinstance(tree, dict):
            raise UserError("is not a configuration")
        # The model section is whole, and what the run began with may be gone.
        return build(RunConfig, tree | {"init_from": None})
    except (UserError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = error.problems[0] if isinstance(error, UserError) else type(error).__name__
        raise UserError(
            f"{folder.resolved_config}: cannot be read, perhaps it is of another version ({reason}); calibrate with "
            "the version that trained, or train a few steps with this one"
        ) from None


def _speeds(folder: RunFolder, *, first_step: int) -> list[float]:
    """Tokens per second of the records from `first_step` on; of what was trained twice, the last time."""
    found: list[float] = []
    last_step = 0
    for record in _lines(folder.metrics):
        if record.get("kind") != "train":
            continue
        step, speed = record.get("step", 0), record.get("tokens_per_second")
        if step <= last_step:
            found = []  # it went back to a checkpoint
        last_step = step
        if step >= first_step and speed and record.get("applied"):
            found.append(speed)
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"{path.parent}: no {path.name} yet; let the run train a few steps")
    return [line for line in read_json_lines(path) if isinstance(line, dict)]


def hardware_problem(run: Measured, cluster: ClusterConfig) -> str:
    """Why the run says nothing about this cluster; empty if it does."""
    on_cpu, for_cpu = run.device == "cpu", cluster.device == "cpu"
    if on_cpu != for_cpu:
        return (
            f"cluster: the run was on {run.device}, but {cluster.name} describes {'a CPU' if for_cpu else 'GPUs'}; "
            f"{'choose cluster=cpu' if on_cpu else 'choose the file of those GPUs'}"
        )
    known = peak_flops(run.device)
    if known is not None and abs(known / 1e12 - cluster.peak_tflops) > 0.01 * cluster.peak_tflops:
        return (
            f"cluster: the run was on {run.device} with {known / 1e12:g} TFLOP/s, but {cluster.name} has "
            f"cluster.peak_tflops={cluster.peak_tflops:g}; choose the file of those GPUs"
        )
    return ""


def run(config: CalibrateConfig, predict: Predict) -> None:
    """Print what was found, and write the cluster file if one is named.

    Raises:
        UserError: as `calibrate`, or a cluster file of that name is there already or cannot be written.
    """
    assert config.cluster is not None
    path = None if config.output is None else CONFIG_FOLDER / "cluster" / f"{config.output}.yaml"
    if path is not None and path.exists():
        raise UserError(f"output: {path} is there already; choose another name, or remove it first")
    found = calibrate(Path(config.run_dir), config.cluster, predict)
    print(describe(found, Path(config.run_dir)))
    if path is not None:
        write_cluster(path, config.cluster, found)
        print(f"    file  {path}; choose it with cluster={config.output}")


def describe(found: Calibration, run_dir: Path) -> str:
    """A few lines: the run, both times, the override."""
    run, before = found.measured, getattr(found.cluster, EFFICIENCY)
    first, third = run.quartiles
    rows = [
        ("run", f"{run_dir}: {run.layout.world_size} processes = {run.layout} on {run.device}"),
        ("measured", f"{run.seconds:.4g} s per step, median of {run.num_records} ({first:.4g} to {third:.4g} s)"),
        (
            "planned",
            f"{found.predicted_seconds:.4g} s with cluster.{EFFICIENCY}={before:.4g}: "
            f"{found.predicted_seconds / run.seconds - 1:+.1%}",
        ),
        ("use", f"cluster={found.cluster.name} {found.override}"),
    ]
    return "\n".join(f"{name:>8}  {text}" for name, text in rows)


def write_cluster(path: Path, cluster: ClusterConfig, found: Calibration) -> None:
    """`cluster` with the efficiency that was found, as a file of the group `cluster`."""
    values = {**cluster.model_dump(mode="json"), "name": path.stem, EFFICIENCY: float(f"{found.efficiency:.4g}")}
    run = found.measured
    comment = f"# {cluster.name}, {EFFICIENCY} from {run.num_records} records of a run of {run.config.model.size} on "
    comment += f"{run.layout.world_size} x {run.device}: {run.seconds:.4g} s per step."
    text = yaml.safe_dump({"cluster": values}, allow_unicode=True, sort_keys=False)
    try:
        with atomic_writer(path) as file:
            file.write(f"# @package _global_\n{comment}\n{text}".encode())
    except OSError as error:
        raise UserError(
            f"output: {path} cannot be written ({error.strerror}); leave output= out and give the override above, or "
            "run it in a checkout that is yours"
        ) from None
