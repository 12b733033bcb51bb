"""The tokenizer of a Hugging Face folder, also where it is only a SentencePiece model."""

import sys
import tempfile
from pathlib import Path

from jp_llm.huggingface.files import CONFIG_FILE
from jp_llm.huggingface.sentencepiece import Conversion, asks_for_lower_case, compare, convert, is_only_sentencepiece
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from jp_llm.tokenizer.adopt import EXPORTED_FOLDER, adopt
from jp_llm.tokenizer.tokenizer import Tokenizer


def needs_conversion(folder: Path) -> bool:
    """Whether `adopted_tokenizer` makes the tokenizer.json of a Hugging Face folder."""
    return is_only_sentencepiece(folder) and not (folder / EXPORTED_FOLDER).is_dir()


def adopted_tokenizer(folder: Path, target: Path, *, lower_case: bool | None = None) -> Tokenizer:
    """Make the tokenizer folder `target` of the tokenizer of a Hugging Face folder.

    A folder without tokenizer.json gets one from its SentencePiece model; how that compares is said on stderr.

    Args:
        lower_case: whether that one puts text into lower case first; None does what tokenizer_config.json says.

    Raises:
        UserError: there is no tokenizer, or it is damaged or of a kind that cannot be read or converted; or
            `lower_case` is asked of a tokenizer.json, which decides that itself.
    """
    if not needs_conversion(folder):
        if lower_case is not None:
            raise UserError(f"lower_case: the tokenizer.json in {folder} decides this itself; leave the key out")
        return adopt(folder, target)
    lower = asks_for_lower_case(folder) if lower_case is None else lower_case
    with tempfile.TemporaryDirectory() as work:
        made = Path(work)
        convert(folder, made, lower_case=lower)
        # Names the special ids, where the files of the tokenizer do not.
        if (folder / CONFIG_FILE).is_file():
            with atomic_writer(made / CONFIG_FILE) as file:
                file.write((folder / CONFIG_FILE).read_bytes())
        try:
            tokenizer = adopt(made, target, name=folder)
        except UserError as error:
            problems = (problem.replace(str(made), str(folder)) for problem in error.problems)
            raise UserError(*problems) from None
    found = compare(folder, tokenizer, lower_case=lower)
    if 2 * found.different > found.texts:
        raise UserError(
            f"{folder}: a tokenizer.json made of its SentencePiece model gives other ids on {found.different} of "
            f"{found.texts} texts, so the model would read other words; it has settings that cannot be converted"
        )
    print(f"{folder}: {_in_words(found, lower_case=lower)}", file=sys.stderr)
    return tokenizer


def _in_words(found: Conversion, *, lower_case: bool) -> str:
    lines = [
        "the tokenizer is a SentencePiece model; a tokenizer.json was made of it, which gives the ids of SentencePiece "
        f"on {found.texts - found.different} of {found.texts} difficult texts"
    ]
    if lower_case:
        lines.append("text is put into lower case first")
    if found.different_in_transformers:
        lines.append(
            f"transformers loads this folder as {found.transformers_class}, whose ids differ from SentencePiece's on "
            f"{found.different_in_transformers} of them without saying so: use the tokenizer of what is exported here"
        )
    elif found.different_in_transformers is None:
        lines.append(f"transformers cannot load the tokenizer of this folder ({found.transformers_class})")
    return "; ".join(lines)
