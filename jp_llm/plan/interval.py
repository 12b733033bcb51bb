"""How often to save: often enough that a failure costs little, seldom enough that saving does."""

import math

from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.run import RunConfig


def checkpoint_interval(stall_seconds: float, mean_seconds_between_failures: float) -> tuple[float, float]:
    """The best time between checkpoints, and the share of time that is lost with it.

    With a save that stops training for C seconds and a failure every M seconds on average, saving every t seconds
    loses C / t to saves and t / (2 M) to work done again; their sum is least at t = sqrt(2 C M), where it is
    sqrt(2 C / M) (Young 1974, "A first order approximation to the optimum checkpoint interval"). It holds for C much
    less than M; Daly 2006, section 3, has the terms of higher order and for C >= 2 M, as here, t = M. The time of a
    restart comes on top and does not depend on t.

    Args:
        stall_seconds: how long training stands still for a save (`stall_seconds` of the event `save`), over 0.
        mean_seconds_between_failures: of the whole job.

    Returns:
        Seconds of training between saves, and the share, at most 1.

    Raises:
        ValueError: a number is not over 0.
    """
    if not (stall_seconds > 0 and mean_seconds_between_failures > 0):
        raise ValueError(f"{stall_seconds} s per save, {mean_seconds_between_failures} s between failures: must be > 0")
    best = min(math.sqrt(2 * stall_seconds * mean_seconds_between_failures), mean_seconds_between_failures)
    lost = stall_seconds / best + best / (2 * mean_seconds_between_failures)
    return best, min(lost, 1.0)


def checkpoint_bytes(config: RunConfig) -> int:
    """Bytes on disk of one checkpoint: fp32 weights and two moments of every parameter, padding of the vocabulary
    included; manifest and headers of the files, a few kB each, are not counted."""
    return 12 * num_parameters(config.model)
