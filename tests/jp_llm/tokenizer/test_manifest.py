import json
from pathlib import Path

import pytest

from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.manifest import MANIFEST_FILE, PROBES, TokenizerManifest

MANIFEST = TokenizerManifest(
    sha256="ab",
    package="sentencepiece",
    package_version="0.2.3",
    vocab_size=700,
    unk_id=0,
    bos_id=1,
    eos_id=2,
    pad_id=3,
    recipe={"model_type": "unigram"},
    probes=[["猫", [9]]],  # type: ignore[list-item]
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    MANIFEST.save(tmp_path)
    assert TokenizerManifest.load(tmp_path) == MANIFEST


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; name a folder"):
        TokenizerManifest.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("{", "damaged"), ("[]", "not a tokenizer manifest"), ('{"format": 1}', "not a tokenizer manifest")],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / MANIFEST_FILE).write_text(content)
    with pytest.raises(UserError, match=problem):
        TokenizerManifest.load(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    MANIFEST.save(tmp_path)
    path = tmp_path / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(UserError, match="not a tokenizer manifest of format 1"):
        TokenizerManifest.load(tmp_path)


def test_probes_cover_what_libraries_disagree_on() -> None:
    everything = "".join(PROBES)
    assert all(
        kind in everything
        for kind in ("ｶﾅ", "猫", "👨‍👩‍👧‍👦", "2024", "１２３", "……――", "ああああ", "\n", "  ", "<0x41>")
    )
