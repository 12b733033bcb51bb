"""Sums of -ln p against hand computation and against a loop that does one thing at a time."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from tiny_export import TEXT, export_decoder, tiny_config, tiny_decoder
from tokenizers.normalizers import NFKC

from jp_llm.evaluate.score import Score, score
from jp_llm.export.inference import LoadedModel, encode, open_model
from jp_llm.texts.documents import Text
from jp_llm.tokenizer.tokenizer import Tokenizer

DOCUMENTS = [
    Text("short", TEXT[0]),
    Text("short", TEXT[1] + "\n" + TEXT[2]),
    Text("long", "".join(TEXT)),
    Text("long", "髙" * 40),
    Text("empty", ""),
]


@torch.no_grad()
def naive_nats(loaded: LoadedModel, tokenizer: Tokenizer, text: str, context: int, stride: int) -> float:
    """Predict one token after the other, each from its own forward pass, in float64."""
    tokens = [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
    total = 0.0
    for target in range(1, len(tokens)):
        # The window that ends behind this target: context + n x stride, or the end of the document.
        stop = context
        while stop < target:
            stop += stride
        stop = min(stop, len(tokens) - 1)
        inputs = torch.tensor([tokens[max(0, stop - context) : target]])
        logits = loaded.model(input_ids=inputs).logits[0, -1].double()
        total -= logits.log_softmax(0)[tokens[target]].item()
    return total


@pytest.mark.parametrize(("context", "stride"), [(64, 64), (16, 5)])
def test_equals_the_naive_loop(loaded: LoadedModel, tokenizer: Tokenizer, context: int, stride: int) -> None:
    found = score(loaded, DOCUMENTS, context=context, stride=stride, batch_tokens=200)
    assert list(found) == ["short", "long", "empty"]
    for source, sums in found.items():
        texts = [document.text for document in DOCUMENTS if document.source == source]
        assert sums.documents == len(texts)
        assert sums.characters == sum(map(len, texts))
        assert sums.bytes == sum(len(text.encode()) for text in texts)
        assert sums.tokens == sum(len(tokenizer.encode(text)) + 1 for text in texts)
        expected = sum(naive_nats(loaded, tokenizer, text, context, stride) for text in texts)
        assert sums.nats == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 70, 10_000])
def test_the_batch_does_not_matter(loaded: LoadedModel, batch_tokens: int) -> None:
    one = score(loaded, DOCUMENTS, context=64, stride=32, batch_tokens=batch_tokens)
    other = score(loaded, DOCUMENTS[::-1], context=64, stride=32, batch_tokens=200)
    for source in one:
        assert one[source].nats == pytest.approx(other[source].nats, rel=1e-6)


def test_a_model_that_knows_nothing(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer))
    with torch.no_grad():
        decoder.get_parameter("head.weight").zero_()
    folder = tmp_path_factory.mktemp("uniform") / "model"
    export_decoder(decoder, tokenizer, folder, verify="structure")
    text = "春の朝、髙橋は café へ。"
    loaded = open_model(folder, "cpu", "auto")
    rates = score(loaded, [Text("a", text)], context=64, stride=32, batch_tokens=64)["a"].rates()
    tokens = len(tokenizer.encode(text)) + 1
    # Every id has probability 1 / V, the padding of the vocabulary none.
    bits = math.log2(tokenizer.vocab_size)
    assert rates["bits_per_token"] == pytest.approx(bits, rel=1e-6)
    assert rates["perplexity"] == pytest.approx(tokenizer.vocab_size, rel=1e-5)
    assert rates["bits_per_character"] == pytest.approx(bits * tokens / len(text), rel=1e-6)
    assert rates["bits_per_byte"] == pytest.approx(bits * tokens / len(text.encode()), rel=1e-6)


def test_documents_that_a_tokenizer_does_not_give_back_are_counted(loaded: LoadedModel) -> None:
    """This one unifies the forms of a character, as many others do."""
    unifying = copy.deepcopy(loaded.tokenizer)
    unifying._tokenizer.normalizer = NFKC()
    texts = [Text("a", "春の朝"), Text("a", "ＡＢＣ"), Text("b", "春\n")]
    assert score(loaded, texts, context=64, stride=32, batch_tokens=64)["a"].changed_documents == 0
    found = score(replace(loaded, tokenizer=unifying), texts, context=64, stride=32, batch_tokens=64)
    assert [sums.changed_documents for sums in found.values()] == [1, 0]


def test_rates_by_hand() -> None:
    sums = Score(documents=1, characters=8, bytes=24, tokens=4, nats=8 * math.log(2)) + Score()
    assert sums.rates() == pytest.approx(
        {"perplexity": 4.0, "bits_per_token": 2.0, "bits_per_character": 1.0, "bits_per_byte": 1 / 3}
    )
    assert set(Score().rates().values()) == {None}


def test_text_is_scored_as_it_was_trained(loaded: LoadedModel, tokenizer: Tokenizer) -> None:
    for text in ("<s>春</s><pad>", "  春\n", "", "髙橋\u3000<0x41>"):
        assert encode(loaded.tokenizer, text) == tokenizer.encode(text)
