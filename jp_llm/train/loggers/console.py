"""A progress line that a person likes to watch."""

from typing import Any


class Console:
    """One line per record: loss, learning rate, gradient norm, speed and the time that is left."""

    def __init__(self, *, num_steps: int, **_: Any) -> None:
        self.num_steps = num_steps

    def log(self, record: dict[str, Any]) -> None:
        """Print `record`."""
        write = {"train": self._train, "eval": self._eval, "sample": self._sample}.get(record["kind"])
        # Of other kinds nobody wants to see every one.
        if write is not None:
            print(write(record), flush=True)

    def close(self) -> None:
        """Nothing is held."""

    def _train(self, record: dict[str, Any]) -> str:
        width = len(str(self.num_steps))
        parts = [
            f"step {record['step']:>{width}}/{self.num_steps}",
            "loss not finite" if record["loss"] is None else f"loss {record['loss']:.4f}",
            f"lr {record['learning_rate']:.2e}",
            f"grad norm {record['grad_norm']:.2f}" if record["applied"] else "gradient not finite, update skipped",
            f"{_short(record['tokens_per_second'])} tokens/s",
        ]
        if record.get("mfu") is not None:
            parts.append(f"MFU {100 * record['mfu']:.1f}%")
        parts.append(f"{_duration(record['seconds_left'])} left")
        return " | ".join(parts)

    def _eval(self, record: dict[str, Any]) -> str:
        lines = [
            f"  held-out {name}: loss {values['loss']:.4f}, perplexity {values['perplexity']:.2f}, "
            f"{values['bits_per_character']:.3f} bits/character, {values['bits_per_byte']:.3f} bits/byte"
            for name, values in record["sources"].items()
        ]
        return "\n".join(lines)

    def _sample(self, record: dict[str, Any]) -> str:
        completion: str = record["completion"]
        return f"  sample: {record['prompt']}→{completion}".replace("\n", "⏎")


def _short(value: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}{unit}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
