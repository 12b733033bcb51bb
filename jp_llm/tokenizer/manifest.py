"""What a tokenizer folder says about itself: `tokenizer_manifest.json` beside `sentencepiece.model`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, write_json

MODEL_FILE = "sentencepiece.model"
MANIFEST_FILE = "tokenizer_manifest.json"
LIBRARY = "sentencepiece"
FORMAT = 1
REMEDY = "copy the folder again, or train it anew with launch/train_tokenizer.py"

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
    """Of the model file: the fingerprint of the tokenizer."""
    library: str
    library_version: str
    """Version of SentencePiece that trained the model and made the probes."""
    vocab_size: int
    unk_id: int
    bos_id: int
    eos_id: int
    pad_id: int
    recipe: Mapping[str, Any]
    """How it was trained; `model_type` is unigram or bpe."""
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
        if not isinstance(value, dict) or value.get("format") != FORMAT or value.keys() != {"format", *names}:
            raise UserError(f"{path}: not a tokenizer manifest of format {FORMAT}; {REMEDY}")
        return cls(**{name: value[name] for name in names})

    def save(self, folder: Path) -> None:
        """Write the manifest into a tokenizer folder."""
        write_json(folder / MANIFEST_FILE, {"format": FORMAT, **asdict(self)})
