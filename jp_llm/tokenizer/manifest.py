"""What a tokenizer folder says about itself: `tokenizer_manifest.json` beside the files of the tokenizer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, write_json

MODEL_FILE = "sentencepiece.model"
MANIFEST_FILE = "tokenizer_manifest.json"
SENTENCEPIECE = "sentencepiece"
"""Package of the tokenizers that we train."""
TOKENIZERS = "tokenizers"
"""Package of adopted ones, which lie as Hugging Face files."""
FORMAT = 1
_RENAMED = {"library": "package", "library_version": "package_version"}
"""Keys of manifests from before tokenizers could be adopted, and their names now."""
REMEDY = "copy the folder again, or make it anew"

PROBES = (
    "ひらがなとカタカナ、ﾊﾝｶｸｶﾅ。",
    "吾輩は猫である。名前はまだ無い。",
    "髙﨑の𠮷野家で齋藤さんと葛󠄀城さんに逢った。",
    "絵文字👨‍👩‍👧‍👦と❤️と🇯🇵と👍🏽",
    "2024年12月31日、１２３円と3.14159",
    "The quick brown fox: x = f(y) + 1;",
    "「……――そうだ」……」……、――――",
    "ああああああああああああああああああああああああああああああ",
    "  二つの空白\tタブ　全角\n\n改行\n",
    "<s>文字としての</s><unk><0x41>",
)
"""Texts whose ids are stored when a tokenizer is made. Runs and repeated marks have many segmentations of equal score:
there a version of the library that breaks ties in another way shows itself."""


@dataclass(frozen=True)
class TokenizerManifest:
    """The fields of `tokenizer_manifest.json` except its format."""

    sha256: str
    """The fingerprint of the tokenizer: of the model file, or of what decides the ids in an adopted tokenizer.json."""
    package: str
    """Python package that turns text into ids: sentencepiece, or tokenizers of an adopted tokenizer."""
    package_version: str
    """Version of the package that made the probes."""
    vocab_size: int
    unk_id: int | None
    """This and the next three are None where the model has no such token, which only adopted ones may lack."""
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    recipe: Mapping[str, Any]
    """How it was made; `model_type` is unigram or bpe (of adopted ones also wordpiece, wordlevel)."""
    probes: Sequence[tuple[str, list[int]]]
    """Texts and their ids."""

    @classmethod
    def load(cls, folder: Path) -> "TokenizerManifest":
        """Read the manifest of a tokenizer folder.

        Raises:
            UserError: it is absent, or not a manifest of this format.
        """
        path = folder / MANIFEST_FILE
        try:
            value = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{path}: no such file; name a folder that launch/train_tokenizer.py wrote, or the tokenizer folder "
                "of a dataset"
            ) from None
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); {REMEDY}") from error
        names = {field.name for field in fields(cls)}
        if isinstance(value, dict):
            value = {_RENAMED.get(name, name): content for name, content in value.items()}
        if not isinstance(value, dict) or value.get("format") != FORMAT or value.keys() != {"format", *names}:
            raise UserError(f"{path}: not a tokenizer manifest of format {FORMAT}; {REMEDY}")
        if value["package"] not in (SENTENCEPIECE, TOKENIZERS) or (value["bos_id"] is None and value["eos_id"] is None):
            raise UserError(f"{path}: its package is unknown, or no token begins documents; {REMEDY}")
        return cls(**{name: value[name] for name in names})

    def save(self, folder: Path) -> None:
        """Write the manifest into a tokenizer folder."""
        write_json(folder / MANIFEST_FILE, {"format": FORMAT, **asdict(self)})
