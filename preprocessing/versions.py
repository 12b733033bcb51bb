"""What a corpus is made with."""

import platform
import unicodedata
from importlib.metadata import PackageNotFoundError, version

import jp_llm

_PACKAGES = ("numpy", "orjson", "pyahocorasick", "sentencepiece", "zstandard")
_OPTIONAL = ("datasets", "fugashi", "pyarrow", "sudachidict-core", "sudachipy", "tokenizers", "unidic-lite")


def versions() -> dict[str, str]:
    """Name -> version of everything that may decide bytes of the output; packages that are absent are left out."""
    found = {"jp-llm": jp_llm.__version__, "python": platform.python_version(), "unicode": unicodedata.unidata_version}
    for name in (*_PACKAGES, *_OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
