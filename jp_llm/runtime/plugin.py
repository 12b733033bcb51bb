"""From a name in YAML to the one public class of the file with that name."""

import difflib
import importlib
import pkgutil
from types import ModuleType

from jp_llm.runtime.errors import config_error


def names(package: str) -> list[str]:
    """Names of the plug-ins of `package`: its modules that do not start with an underscore."""
    module = importlib.import_module(package)
    return sorted(info.name for info in pkgutil.iter_modules(module.__path__) if not info.name.startswith("_"))


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?`, or the list of known names when none is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def load(package: str, name: str) -> type:
    """The public class defined in `package.name`.

    Raises:
        UserError: there is no such file; the message names the nearest one.
    """
    if name not in names(package):
        raise config_error([f"{package}: no plug-in named {name!r}{nearest(name, names(package))}"])
    return public_class(importlib.import_module(f"{package}.{name}"))


def public_class(module: ModuleType) -> type:
    """The only class that `module` itself defines under a public name."""
    classes = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    if len(classes) != 1:
        raise TypeError(f"{module.__name__} must define exactly one public class, found {classes}")
    return classes[0]
