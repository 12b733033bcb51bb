"""Read a config.json of somebody else: every value checked, every problem collected, nothing guessed.

A key that is missing has the value that the transformers class gives it (5.23), which differs between classes: each
architecture names its own default where it reads the key.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

_REMOTE_CLASSES = {"AutoModel", "AutoModelForCausalLM"}


class UnsupportedModel(ValueError):
    """A model that our decoder cannot compute; `problems` names every class and option that stands in the way."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ConfigReader:
    """The values of one config.json. A value of a wrong kind is a problem, and the default is read in its place."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.problems: list[str] = []
        """What our decoder cannot compute, each with its key."""
        self.ignored: list[str] = []
        """What is set there and has no effect here."""

    def refuse(self, key: str, why: str) -> None:
        """Note that the value of a key stands in the way."""
        self.problems.append(f"{key} {self.values.get(key)!r}: {why}")

    def integer(self, key: str, default: int | None, *other_names: str) -> int | None:
        """A positive whole number, or null where the default is null."""
        found, value = self._value(key, default, other_names)
        if value is None and default is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.refuse(found, "must be a positive whole number")
            return default
        return value

    def number(self, key: str, default: float) -> float:
        """A positive number."""
        value = self.values.get(key, default)
        if not _is_number(value) or not 0 < value < float("inf"):
            self.refuse(key, "must be a positive number")
            return default
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false; null is false."""
        value = self.values.get(key, default)
        if value is not None and not isinstance(value, bool):
            self.refuse(key, "must be true or false")
            return default
        return bool(value)

    def only(self, key: str, allowed: Any, default: Any, why: str) -> None:
        """Refuse every value but `allowed`; `default` is what a missing key means."""
        if self.values.get(key, default) != allowed:
            self.problems.append(f"{key} {self.values.get(key, default)!r}: {why}")

    def activation(self, key: str, default: str, allowed: Collection[str]) -> None:
        """Refuse a function that is not the one of our MLP, by whatever name."""
        value = self.values.get(key, default)
        if value not in allowed:
            self.problems.append(f"{key} {value!r}: the MLP here has {' = '.join(sorted(allowed))}")

    def dropout(self, key: str, default: float) -> None:
        """Note a rate that is not zero: there is no dropout here."""
        value = self.values.get(key, default)
        if value is not None and not _is_number(value):
            self.refuse(key, "must be a number")
        elif value:
            self.ignored.append(f"{key} {value}: there is no dropout here, in training neither")

    def rotary(self, *, theta: float, theta_key: str, factor: float, factor_key: str) -> tuple[float, float]:
        """Base of the rotary frequencies and the share of a head that is rotated.

        Where they stand, in the order of transformers 5: `rope_scaling` (older) in place of `rope_parameters`; in it
        `rope_theta` and `partial_rotary_factor`; then the keys of transformers 4; then the defaults of the class.
        """
        place = "rope_scaling" if self.values.get("rope_scaling") else "rope_parameters"
        parameters = self.values.get(place) or {}
        if not isinstance(parameters, Mapping):
            self.refuse(place, "must be an object")
            parameters = {}
        kind = parameters.get("rope_type", parameters.get("type", "default"))
        if kind != "default":
            self.problems.append(f"{place} of type {kind!r}: only plain rotary positions (default) are computed here")
        if nested := [key for key, value in parameters.items() if isinstance(value, Mapping)]:
            self.problems.append(f"{place} by kind of layer ({', '.join(nested)}): all layers must have the same")
        known = {"rope_type", "type", "rope_theta", "partial_rotary_factor", *nested}
        if kind == "default" and (surplus := sorted(parameters.keys() - known)):
            self.problems.append(f"{place}: nothing is known of {', '.join(surplus)}")
        found = []
        for key, old_key, default in (
            ("rope_theta", theta_key, theta),
            ("partial_rotary_factor", factor_key, factor),
        ):
            value = parameters.get(key, self.values.get(old_key, default))
            if not _is_number(value) or not 0 < value < float("inf"):
                self.problems.append(f"{key} {value!r}: must be a positive number")
                value = default
            found.append(float(value))
        return found[0], found[1]

    def common(self, class_name: str) -> None:
        """Options that change what any class computes."""
        named = self.values.get("architectures")
        if named and not (isinstance(named, list) and class_name in named):
            self.refuse("architectures", f"only {class_name} of this model_type can be read")
        remote = self.values.get("auto_map")
        if isinstance(remote, Mapping) and _REMOTE_CLASSES & remote.keys():
            self.refuse("auto_map", "the model is computed by code of its own, which is never run")
        for key, why in {
            "quantization_config": "the weights are quantised; take the original ones",
            "compression_config": "the weights are compressed; take the original ones",
            "pruned_heads": "all layers must have the same heads",
            "is_encoder_decoder": "it is no decoder alone",
            "add_cross_attention": "there is nothing to attend to across",
        }.items():
            if self.values.get(key):
                self.refuse(key, why)
        if self.values.get("sliding_window") and self.values.get("use_sliding_window") is not False:
            self.refuse("sliding_window", "every layer here attends to the whole context")
        layers = self.values.get("layer_types")
        if layers and not (isinstance(layers, list) and all(kind == "full_attention" for kind in layers)):
            self.refuse("layer_types", "every layer here attends to the whole context")

    def _value(self, key: str, default: Any, other_names: Sequence[str]) -> tuple[str, Any]:
        # transformers sets the names that are no fields of the class last, so they win.
        for name in (*other_names, key):
            if name in self.values:
                return name, self.values[name]
        return key, default


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
