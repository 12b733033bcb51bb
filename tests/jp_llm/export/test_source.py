"""Parameters out of a decoder and back into one."""

from collections.abc import Collection

import pytest
import torch
from tiny_export import VARIANTS, tiny_config, tiny_decoder
from torch import Tensor

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.export.source import DecoderSource, RoundedSource
from jp_llm.model.source import load_native
from jp_llm.tokenizer.tokenizer import Tokenizer


class Renamed:
    """A source whose first parameter has another name."""

    def __init__(self, source: DecoderSource) -> None:
        self._source = source

    @property
    def names(self) -> Collection[str]:
        return ["something.else", *self._source.names[1:]]

    def read(self, name: str) -> Tensor:
        return self._source.read(name)


@pytest.mark.parametrize("name", VARIANTS)
def test_source_and_load_native_are_inverse(name: str, tokenizer: Tokenizer) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer, **VARIANTS[name]))
    source = DecoderSource(decoder)
    shapes = parameter_shapes(decoder.config)
    assert sorted(source.names) == sorted(shapes)
    assert all(source.read(each).shape == shape for each, shape in shapes.items())
    again = load_native(source, decoder.config)
    for (key, ours), theirs in zip(decoder.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs), key


def test_fused_rows_are_taken_apart(tokenizer: Tokenizer) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer, arch="palm", num_key_value_heads=2))
    source = DecoderSource(decoder)
    fused = decoder.get_parameter("layers.1.attention.qkv.weight")
    q, k, v = (source.read(f"layers.1.attention.{part}.weight") for part in "qkv")
    assert [len(part) for part in (q, k, v)] == [64, 32, 32]
    assert torch.equal(torch.cat([q, k, v]), fused)


def test_rounded_source_rounds_once(tokenizer: Tokenizer) -> None:
    source = DecoderSource(tiny_decoder(tiny_config(tokenizer)))
    exact, rounded = source.read("final_norm.weight"), RoundedSource(source, torch.bfloat16).read("final_norm.weight")
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, exact.bfloat16().float())
    assert not torch.equal(rounded, exact)


def test_other_names_are_refused(tokenizer: Tokenizer) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer))
    with pytest.raises(ValueError, match=r"do not fit the model: embedding.weight, something.else"):
        load_native(Renamed(DecoderSource(decoder)), decoder.config)
