"""The way of a Slurm job back to the queue, which it does not go for ever without getting any further."""

from collections.abc import Iterable
from typing import Any

from jp_llm.runtime.bad_hosts import bad_hosts
from jp_llm.runtime.files import read_json_lines
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.supervise import slurm
from jp_llm.supervise.events import Events


def requeue(job: str, folder: RunFolder, *, step: int, most_fruitless: int) -> str | None:
    """Send the job back to the queue; why it does not go, or not as it should, if so.

    Args:
        step: that the run has reached.
        most_fruitless: so often in a row it goes back without having got further.
    """
    if problem := slurm.obstacle(job):
        return problem
    earlier = read_json_lines(folder.events) if folder.events.exists() else []
    times = fruitless(earlier, job, step)
    if times >= most_fruitless:
        return (
            f"it does not go: {times} times in a row it came back and got no further than step {step} "
            f"(supervise.fruitless_requeues {most_fruitless}); look into {folder.logs} and submit it again"
        )
    events, without = Events(folder), bad_hosts(folder)
    # Before it is asked for: Slurm may end this process before its answer has arrived.
    events.write("requeue", job=job, step=step, without=without)
    if problem := slurm.requeue(job):
        events.write("requeue_refused", job=job, reason=problem)
        return problem
    return slurm.leave_out(job, without) if without else None


def fruitless(events: Iterable[Any], job: str, step: int) -> int:
    """How often in a row this job came back from the queue and got no further, up to `step`, where it is now."""
    reached, times = -1, 0
    found = [event for event in events if isinstance(event, dict) and event.get("job") == job]
    steps = [int(event.get("step", 0)) for event in found if event.get("event") == "requeue"]
    for at in (*steps, step):
        times = 0 if at > reached else times + 1
        reached = max(reached, at)
    return times
