"""The model card: what it states, and that nothing in it can become markup."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tiny_export import tiny_config

from jp_llm.export.model_card import CardFacts, escape, fenced, model_card
from jp_llm.shards.manifest import DatasetManifest, ShardManifest, TokenizerRecord
from jp_llm.tokenizer.tokenizer import Tokenizer

PROOF = {"format": 1, "dtype": "bf16", "verification": {"max_difference": 1.5e-6}}
EVIL = "``` <script>alert(1)</script> | a | b |\n# Owned\n---\n[x](http://evil)"


def corpus(source: str) -> DatasetManifest:
    shard = ShardManifest(f"shards/{source}/train-00000", 12, 3456, 7890, 23456, "uint16", 6912, "a", 1, "b")
    record = TokenizerRecord("tokenizer", "f", "sentencepiece", "0.2.3", 579, 0, 1, 2, 3)
    return DatasetManifest(record, "uint16", "c", {source: {"train": (shard,)}})


def card(tokenizer: Tokenizer, text: str = "demo") -> str:
    facts = CardFacts(
        name=text,
        license=text,
        datasets=(text,),
        training={"model": {"arch": "palm"}, "note": text},
        state={"step": 1200, "consumed_tokens": 123456789},
        corpora={"": corpus(text), "replay/": corpus("old")},
    )
    proof = PROOF | {"origin": {"note": text}}
    return model_card(facts, tiny_config(tokenizer, arch="palm", num_key_value_heads=2), tokenizer, proof)


def front_matter(text: str) -> dict[str, object]:
    # As the hub finds it: between two lines of three dashes.
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert match is not None
    loaded: dict[str, object] = yaml.safe_load(match[1])
    return loaded


def test_states_the_facts(tokenizer: Tokenizer) -> None:
    text = card(tokenizer)
    assert front_matter(text) == {
        "language": ["ja"],
        "license": "demo",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["japanese", "jp-llm"],
        "datasets": ["demo"],
    }
    # Width 64, 2 layers, 2 key/value heads, MLP 256: per layer 64 + 2 x 64 x 64 + 2 x 32 x 64 + 3 x 64 x 256.
    without = 2 * (64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 256) + 64
    assert f"| Parameters without embeddings and head | {without:,} |" in text
    assert f"| Parameters | {without + 579 * 64:,} |" in text
    assert "| demo | 12 | 7,890 | 23,456 | 3,456 |" in text
    assert "| replay/old | 12 |" in text
    assert "not at hand" not in text
    assert "| consumed\\_tokens | 123,456,789 |" in text
    assert tokenizer.fingerprint in text


def test_the_proof_can_be_read_by_a_machine(tokenizer: Tokenizer) -> None:
    text = card(tokenizer)
    (block,) = re.findall(r"```json\n(.*?)\n```", text[text.index("## Proof") :], re.DOTALL)
    assert json.loads(block) == PROOF | {"origin": {"note": "demo"}}


def test_values_cannot_become_markup(tokenizer: Tokenizer) -> None:
    text = card(tokenizer, EVIL)
    assert front_matter(text)["license"] == " ".join(EVIL.split())
    assert front_matter(text)["datasets"] == [" ".join(EVIL.split())]
    body = text[text.index("\n---\n") :]
    body = re.sub(r"^(`{3,}).*?^\1$", "", body, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" not in body
    assert "\n# Owned" not in body
    assert "](http" not in body
    rows = [line for line in body.splitlines() if "7,890" in line]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [6, 6]


def test_without_corpus_and_training(tokenizer: Tokenizer) -> None:
    text = model_card(CardFacts(name="demo", license="other"), tiny_config(tokenizer), tokenizer, PROOF)
    assert "datasets" not in front_matter(text)
    assert "The dataset was not at hand" in text
    facts = CardFacts(name="demo", license="other", corpora={"": corpus("demo"), "replay/": None})
    text = model_card(facts, tiny_config(tokenizer), tokenizer, PROOF)
    assert "| demo | 12 |" in text
    assert "A replayed dataset was not at hand" in text


@pytest.mark.parametrize("inner", ["a", "```", "x\n````\ny", "`" * 9])
def test_a_fence_is_longer_than_any_run_inside(inner: str) -> None:
    first, *lines, last = fenced("json", inner).split("\n")
    assert "\n".join(lines) == inner
    assert first == f"{last}json"
    assert last not in inner


@given(st.text())
def test_escaped_text_is_one_line_without_html(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    assert "<" not in escaped
    assert not re.search(r"(?<!\\)(\\\\)*[`|\[\]*_]", escaped)
