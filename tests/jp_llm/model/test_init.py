import math

import pytest
import torch

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.model import init
from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initial_values, initialize
from jp_llm.parallel.slices import Slice, flat_pieces, whole_slice


def whole(config, name, seed=1):
    return initial_values(whole_slice(name, parameter_shapes(config)[name]), config, seed)


def test_the_model_is_filled_with_the_canonical_values(tiny, variant):
    config = tiny(variant)
    decoder = Decoder(config)
    for parameter in decoder.parameters():
        parameter.data.fill_(torch.nan)
    initialize(decoder, config, seed=1)
    for name, pieces in decoder.slices().items():
        start = 0
        for piece in pieces:
            rows = decoder.get_parameter(name)[start : start + piece.shape[0]]
            assert torch.equal(rows, whole(config, piece.name))
            start += piece.shape[0]
        assert start == decoder.get_parameter(name).shape[0]


def test_any_box_and_any_flat_range_has_the_same_values(tiny):
    config = tiny("llama_grouped")
    decoder = Decoder(config)
    initialize(decoder, config, seed=1)
    box = Slice("layers.1.mlp.down.weight", whole=(64, 256), offset=(0, 128), shape=(64, 128))
    assert torch.equal(initial_values(box, config, 1), decoder.layers["1"].mlp.down.weight[:, 128:])
    name = "layers.0.attention.qkv.weight"
    flat = decoder.get_parameter(name).flatten()
    start = flat.numel() // 4 + 5
    pieces = flat_pieces(decoder.slices()[name], start, flat.numel())
    values = [initial_values(piece.part, config, 1).flatten()[piece.start : piece.stop] for piece in pieces]
    assert len(values) == 3
    assert torch.equal(torch.cat(values), flat[start:])


def test_a_weight_depends_on_seed_and_name_alone(tiny):
    config = tiny("llama")
    name = "layers.0.mlp.gate.weight"
    assert torch.equal(whole(config, name), whole(tiny("llama", num_attention_heads=2, vocab_size=300), name))
    assert not torch.equal(whole(config, name), whole(config, name, seed=2))
    assert not torch.equal(whole(config, name), whole(config, "layers.0.mlp.up.weight"))
    assert not torch.equal(whole(config, name), whole(config, "layers.1.mlp.gate.weight"))
    # A change of this number starts every published run from other weights.
    assert init._generator(1234, "embedding.weight").initial_seed() == 2481958999432779099


@pytest.mark.parametrize("name", ["embedding.weight", "head.weight"])
def test_padding_rows_are_zero_and_are_not_drawn(tiny, name):
    config = tiny("neox")
    values = whole(config, name)
    assert values.shape == (128, 64)
    assert not values[100:].any()
    more = initial_values(whole_slice(name, (256, 64)), config, 1)
    assert torch.equal(values[:100], more[:100])


def test_deviations(tiny, arch):
    config = tiny(arch, hidden_size=256, vocab_size=128, intermediate_size=1024, num_layers=8, initializer_range=0.02)
    for name in parameter_shapes(config):
        if "layers." in name and "layers.3." not in name:
            continue
        values = whole(config, name)
        if name.endswith(".bias"):
            assert not values.any()
        elif "norm" in name:
            assert (values == 1).all()
        else:
            residual = name.endswith(("attention.o.weight", "mlp.down.weight"))
            deviation = 0.02 / math.sqrt(16) if residual else 0.02
            assert values.std().item() == pytest.approx(deviation, rel=0.05)
            assert abs(values.mean().item()) < 0.05 * deviation


def test_the_number_of_threads_changes_nothing(tiny):
    config = tiny("gpt2", hidden_size=512, intermediate_size=2048)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = whole(config, "layers.0.mlp.up.weight")
        torch.set_num_threads(2)
        two = whole(config, "layers.0.mlp.up.weight")
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)
