"""Does preprocessing give the same bytes when it is killed at any moment, again and again?

    python tests/soak/preprocess_kill.py --kills 20 --backend mpi

Runs launch/preprocess.py over a small corpus of every kind of input, kills it with SIGKILL at a random moment (the
whole run, its first process, or any one of its workers or ranks), starts the same command again until it has finished,
and compares every output with that of a run that nobody disturbed. What differs is printed, and the exit code is 1.

Overrides behind the options go to launch/preprocess.py as they are (also to the undisturbed run).
"""

import argparse
import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import corpus_runs  # noqa: E402

_MARGIN = 0.9
"""Later than this share of a whole run, there is little left to be killed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--backend", choices=("local", "mpi"), default="local")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--documents", type=int, default=400, help="per kind of input")
    options, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="preprocess_kill_") as folder:
        return disturb(options, Path(folder), more)


def disturb(options: argparse.Namespace, folder: Path, more: list[str]) -> int:
    """Kill and compare; the exit code."""
    inputs = corpus_runs.write_inputs(folder / "inputs", options.documents)
    undisturbed = folder / "undisturbed"
    command = corpus_runs.command("local", 1, [*corpus_runs.overrides(inputs, undisturbed), *more])
    code, output = corpus_runs.run(command)
    if code:
        print(output)
        return 1
    expected = corpus_runs.outputs(undisturbed)
    print(f"undisturbed: {len(expected)} files, {sum(map(len, expected.values())):,} bytes", flush=True)

    rng = random.Random(options.seed)
    disturbed = folder / "disturbed"
    command = corpus_runs.command(options.backend, options.workers, [*corpus_runs.overrides(inputs, disturbed), *more])
    seconds = timed(command, disturbed)
    kills: Counter[str] = Counter()
    moments: Counter[str] = Counter()
    finished = wrong = 0
    while kills.total() < options.kills or disturbed.exists():
        process = corpus_runs.start(command)
        if kills.total() < options.kills:
            time.sleep(rng.uniform(0, seconds * _MARGIN))
        if kills.total() < options.kills and process.poll() is None:
            moments[stage_of(disturbed)] += 1
            kills[kill_some(process, rng, options.backend)] += 1
            continue
        code, output = corpus_runs.finish(process)
        if code:
            print(f"a run that nobody killed ended with exit code {code}:\n{output}")
            return 1
        finished += 1
        if differing := differences(expected, corpus_runs.outputs(disturbed)):
            wrong += 1
            print(f"run {finished}: {len(differing)} files differ: {', '.join(differing[:10])}")
        shutil.rmtree(disturbed)
    print(f"{options.backend}, {options.workers} workers: {kills.total()} kills ({dict(kills)}), seed {options.seed}")
    print(f"in the midst of: {dict(sorted(moments.items()))}")
    print(f"{finished} runs finished, {finished - wrong} of them with the bytes of the undisturbed run")
    return 1 if wrong else 0


def timed(command: list[str], output: Path) -> float:
    """Seconds that one run takes."""
    started = time.monotonic()
    code, printed = corpus_runs.run(command)
    if code:
        raise SystemExit(printed)
    shutil.rmtree(output)
    return time.monotonic() - started


def kill_some(process: subprocess.Popen[str], rng: random.Random, backend: str) -> str:
    """Kill the whole run, its first process, or any other one; what was killed. Nothing of it lives afterwards."""
    others = corpus_runs.descendants(process.pid)
    kind = rng.choice(["all", "first", "one"]) if others else "first"
    if kind == "first":
        corpus_runs.kill([process.pid])
    elif kind == "one":
        corpus_runs.kill([rng.choice(others)])
        # The others notice, and end with words; one that is nobody's worker (a resource tracker) may not be missed.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0.5, 5))
    corpus_runs.kill(others)
    corpus_runs.kill_all(process)
    process.communicate()
    return kind


def stage_of(output: Path) -> str:
    """The stage, or step of deduplication, that has left the newest mark."""
    marks = list((output / "marks").rglob("*/*.json"))
    if not marks:
        return "start"
    return max(marks, key=lambda path: path.stat().st_mtime_ns).parent.relative_to(output / "marks").as_posix()


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Names of files that differ, are missing or are too many."""
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


if __name__ == "__main__":
    sys.exit(main())
