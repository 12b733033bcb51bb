"""Makes the sample corpus: Japanese text from grammars, in the raw formats of real corpora, with defects and a key.

Every text is composed from the grammars and word lists of this package; nothing is quoted, and no person, company or
place is meant (`facts` states true general knowledge). The same seed and size give the same bytes; the compressed files
also depend on the versions of the compression libraries.

    plain/<id>.txt, plain/cc100-ja.txt       UTF-8
    jsonl/web-NN.jsonl[.gz|.zst|.xz]         text, id, timestamp, url
    aozora/<author>/<work>.txt               CP932
    damaged/                                 files that no reader can take
    answer_key.jsonl, key.json               what was planted, and what ought to come out
"""

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, write_json
from preprocessing.sample import answer_key
from preprocessing.sample.answer_key import AnswerKey
from preprocessing.sample.config import SampleConfig
from preprocessing.sample.corpus import WebCorpus
from preprocessing.sample.formats import aozora, damaged, json_lines, plain_text

_SHARES = {"plain": 0.08, "cc100": 0.17, "jsonl": 0.5, "aozora": 0.25}
"""Source -> its part of the characters."""
_LONG_EVERY = 12
_LONG_CHARACTERS = 6000


def run(config: SampleConfig) -> None:
    """Generate the corpus, and say what is in it."""
    output = Path(config.output_dir)
    already = (output / answer_key.SUMMARY).is_file()
    result = generate(output, seed=config.seed, characters=config.characters)
    print(f"{output}: already there, left as it is" if already else f"{output}: generated")
    for source, counts in result["sources"].items():
        planted = sum(result["defects"][source].values())
        size = f"{counts['documents']:6,} documents {counts['characters']:10,} characters"
        print(f"  {source:8} {size} {planted:6,} defects")
    print(f"  answers  {output / answer_key.DOCUMENTS}")


def generate(output: Path, *, seed: int, characters: int) -> dict[str, Any]:
    """Make the corpus in `output`, which appears complete or not at all; the content of its `key.json` is returned.

    A folder that already holds the corpus of this seed, size and generator is left as it is.

    Raises:
        UserError: `output` holds something else, or is incomplete.
    """
    wanted: dict[str, Any] = {"generator": fingerprint(), "seed": seed, "characters": characters}
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        return _existing(output, wanted)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with (temporary / answer_key.DOCUMENTS).open("wb") as stream:
            key = AnswerKey(stream)
            _write(temporary, seed, characters, key)
        result = answer_key.summary(seed, characters, wanted["generator"], key, temporary)
        write_json(temporary / answer_key.SUMMARY, result)
        os.replace(temporary, output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return result


def _write(corpus: Path, seed: int, characters: int, key: AnswerKey) -> None:
    web = WebCorpus(seed)
    quota = {source: int(characters * share) for source, share in _SHARES.items()}
    long_characters = min(_LONG_CHARACTERS, quota["plain"] // 4)
    pages = web.documents("plain", quota["plain"], long_every=_LONG_EVERY, long_characters=long_characters)
    for placed in plain_text.write_files(corpus, pages):
        key.add("plain", placed)
    for placed in plain_text.write_paragraph_lines(corpus, web.documents("cc100", quota["cc100"]), "cc100-ja"):
        key.add("cc100", placed)
    for number, suffix in enumerate(json_lines.COMPRESSIONS):
        pages = web.documents(f"web{number}", quota["jsonl"] // len(json_lines.COMPRESSIONS))
        for placed in json_lines.write(corpus, pages, suffix, number, seed):
            key.add("jsonl", placed)
    for placed in aozora.write(corpus, quota["aozora"], seed):
        key.add("aozora", placed)
    for placed in damaged.write(corpus, seed):
        key.add("damaged", placed)


def _existing(output: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The summary of the corpus in `output`, if it is complete and the one that is wanted."""
    advice = "choose another output_dir, or delete the folder to generate it anew"
    path = output / answer_key.SUMMARY
    if not path.is_file():
        raise UserError(f"{output}: exists and is no sample corpus (it has no {answer_key.SUMMARY}); {advice}")
    found: dict[str, Any] = read_json(path)
    different = [name for name, value in wanted.items() if found.get(name) != value]
    if different:
        raise UserError(f"{output}: holds a sample corpus of another {' and '.join(different)}; {advice}")
    sizes = {file: (output / file).stat().st_size for file in found["files"] if (output / file).is_file()}
    if damage := [file for file, size in found["files"].items() if sizes.get(file) != size]:
        raise UserError(f"{output}: {len(damage)} files are missing or changed, e.g. {damage[0]}; {advice}")
    return found


@cache
def fingerprint() -> str:
    """Hex SHA-256 over the code, grammars and word lists of this package: another generator makes another corpus."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted(path for path in package.rglob("*") if path.suffix in (".py", ".txt")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()
