"""The architectures by name."""

import importlib
import pkgutil
from functools import cache

import jp_llm.arch
from jp_llm.arch.spec import HuggingFaceForm, LayerSpec

_NOT_ARCHITECTURES = {"spec", "registry", "parameters", "huggingface"}


def names() -> list[str]:
    """Every architecture: the files of this room that hold a `SPEC`."""
    found = (info.name for info in pkgutil.iter_modules(jp_llm.arch.__path__))
    return sorted(name for name in found if name not in _NOT_ARCHITECTURES)


@cache
def spec_of(name: str) -> LayerSpec:
    """The switches of one architecture."""
    spec: LayerSpec = importlib.import_module(f"jp_llm.arch.{name}").SPEC
    return spec


def form_of(name: str) -> HuggingFaceForm:
    """How one architecture is written for Hugging Face."""
    form: HuggingFaceForm = importlib.import_module(f"jp_llm.arch.{name}").HUGGING_FACE
    return form
