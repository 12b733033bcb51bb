"""The architectures by name."""

import importlib
import pkgutil
from dataclasses import replace
from functools import cache

import jp_llm.arch
from jp_llm.arch.spec import HuggingFaceForm, LayerSpec

_NOT_ARCHITECTURES = {"spec", "registry", "parameters", "huggingface", "config_reader"}


def names() -> list[str]:
    """Every architecture: the files of this room that hold a `SPEC`."""
    found = (info.name for info in pkgutil.iter_modules(jp_llm.arch.__path__))
    return sorted(name for name in found if name not in _NOT_ARCHITECTURES)


@cache
def spec_of(name: str, *, serial: bool = False) -> LayerSpec:
    """The switches of one architecture, with serial residual connections where it can have them."""
    spec: LayerSpec = importlib.import_module(f"jp_llm.arch.{name}").SPEC
    return replace(spec, residual="serial") if serial and spec.residual_can_be_serial else spec


def form_of(name: str) -> HuggingFaceForm:
    """How one architecture is written for Hugging Face."""
    form: HuggingFaceForm = importlib.import_module(f"jp_llm.arch.{name}").HUGGING_FACE
    return form
