"""The tokenizer of a Hugging Face folder, also where it is only a SentencePiece model."""

import sys
import tempfile
from pathlib import Path

from jp_llm.huggingface.files import CONFIG_FILE
from jp_llm.huggingface.sentencepiece import MODEL_FILES, Conversion, convert
from jp_llm.runtime.files import atomic_writer
from jp_llm.tokenizer.adopt import EXPORTED_FOLDER, adopt
from jp_llm.tokenizer.adopted_tokenizer import TOKENIZER_FILE
from jp_llm.tokenizer.tokenizer import Tokenizer


def adopted_tokenizer(folder: Path, target: Path) -> Tokenizer:
    """Make the tokenizer folder `target` of the tokenizer of a Hugging Face folder.

    A folder without tokenizer.json gets one from its SentencePiece model; how that compares is said on stderr.

    Raises:
        UserError: there is no tokenizer, or it is damaged or of a kind that cannot be read.
    """
    has_own = (folder / TOKENIZER_FILE).is_file() or (folder / EXPORTED_FOLDER).is_dir()
    if has_own or not any((folder / name).is_file() for name in MODEL_FILES):
        return adopt(folder, target)
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / folder.name  # named in messages
        found = convert(folder, made)
        # Names the special ids, where the files of the tokenizer do not.
        if (folder / CONFIG_FILE).is_file():
            with atomic_writer(made / CONFIG_FILE) as file:
                file.write((folder / CONFIG_FILE).read_bytes())
        print(f"{folder}: {_in_words(found)}", file=sys.stderr)
        return adopt(made, target)


def _in_words(found: Conversion) -> str:
    lines = [
        "the tokenizer is a SentencePiece model; a tokenizer.json was made of it, which gives the ids of SentencePiece "
        f"on {found.texts - found.different} of {found.texts} difficult texts"
    ]
    if found.different_in_transformers:
        lines.append(
            f"transformers loads this folder as {found.transformers_class}, whose ids differ from SentencePiece's on "
            f"{found.different_in_transformers} of them without saying so: use the tokenizer of what is exported here"
        )
    elif found.different_in_transformers is None:
        lines.append(f"transformers cannot load the tokenizer of this folder ({found.transformers_class})")
    return "; ".join(lines)
