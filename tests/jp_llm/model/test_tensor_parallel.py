"""The divided decoder against the same decoder in one process, over gloo."""

import dataclasses
import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.layout import Layout
from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initial_values, initialize
from jp_llm.model.loss import summed_loss
from jp_llm.parallel.collectives import gather_sequence
from jp_llm.parallel.grid import Grid
from jp_llm.parallel.slices import whole_slice
from jp_llm.parallel.tensor import TensorAxis, sum_gradients

BATCH, LENGTH = 2, 24


def way(**changes):
    """What is done with the model; no class of this file, because it travels to other processes."""
    values = {"masked": False, "checkpointed": False, "z_loss": 0.0, "ignored": False}
    values |= {"dtype": torch.float32, "sums_gradients": True, "chunk_tokens": 7, "compiled": False}
    return SimpleNamespace(**(values | changes))


PLAIN = way()
EVERYTHING = way(masked=True, checkpointed=True, z_loss=0.02, ignored=True, chunk_tokens=64)


@functools.cache
def axis_of(key_value_heads):
    size = torch.distributed.get_world_size()
    return Grid(Layout(tensor=size), key_value_heads=key_value_heads).tensor_axis


def fill(decoder, config):
    """Weights of step 0, with norms and biases that are not neutral."""
    with torch.no_grad():
        for name, pieces in decoder.slices().items():
            values = torch.cat([canonical_weight(piece.name, config)[piece.index].flatten() for piece in pieces])
            parameter = decoder.get_parameter(name)
            parameter.copy_(values.view_as(parameter))


def canonical_weight(name, config):
    shape = parameter_shapes(config)[name]
    values = initial_values(whole_slice(name, shape), config, seed=1)
    if "norm" in name or name.endswith(".bias"):
        generator = torch.Generator().manual_seed(sum(name.encode()))
        values = values + 0.3 * torch.randn(shape, generator=generator)
    return values


def one_pass(config, how, axis=None):
    """Forward and backward on this rank; in one process if `axis` is None."""
    axis = axis or TensorAxis()
    generator = torch.Generator().manual_seed(5)
    tokens, targets = torch.randint(config.vocab_size, (2, BATCH, LENGTH), generator=generator)
    ids = torch.randint(5, (BATCH, LENGTH), generator=generator) == 0
    if how.ignored:
        targets[0, 3:9] = -100
    decoder = Decoder(config, axis, activation_checkpointing=how.checkpointed)
    fill(decoder, config)
    decoder.to(how.dtype)
    placements = decoder.placements()
    if how.compiled:
        torch._dynamo.reset()
        decoder.compile_blocks(backend="aot_eager")
    if how.sums_gradients:
        sum_gradients(decoder, placements)
    hidden = gather_sequence(decoder(tokens, ids.cumsum(1) if how.masked else None), axis)
    loss, z_loss = summed_loss(
        hidden,
        decoder.head_weight(),
        targets,
        axis=axis,
        vocab_size=config.vocab_size,
        logit_scale=config.logit_scale,
        z_loss=how.z_loss,
        chunk_tokens=how.chunk_tokens,
    )
    (loss + z_loss).backward()
    with torch.no_grad():
        logits = decoder.logits(hidden[:, -1])
    return SimpleNamespace(
        loss=loss.item(),
        z_loss=z_loss.item(),
        hidden=hidden.detach(),
        logits=logits,
        gradients=[  # (placement, gradient) of every parameter; groups cannot travel
            (dataclasses.replace(placements[name], gradient_group=None), parameter.grad.float())
            for name, parameter in decoder.named_parameters()
        ],
        summed=[name for name, place in placements.items() if place.gradient_group is not None],
    )


def passes(config, hows):
    """`one_pass` for each way, on one rank of a group."""
    return [one_pass(config, how, axis_of(config.key_value_heads)) for how in hows]


def whole_gradients(config, ranks):
    """Canonical gradients put together from what each rank owns; others that hold the same must agree with it."""
    wholes = {name: torch.full(shape, torch.nan) for name, shape in parameter_shapes(config).items()}
    for owned in (True, False):
        for rank in ranks:
            for place, gradient in rank.gradients:
                boxes = gradient.flatten().split([part.numel for part in place.slices])
                for part, values in zip(place.slices, boxes, strict=True):
                    box = wholes[part.name][part.index]
                    if place.owned == owned == True:  # noqa: E712
                        assert box.isnan().all(), f"{part.name}: owned twice"
                        box.copy_(values.view(part.shape))
                    elif place.owned == owned:
                        assert torch.equal(box, values.view(part.shape)), f"{part.name}: ranks disagree"
    assert not any(whole.isnan().any() for whole in wholes.values()), "owned by nobody"
    return wholes


def differing(found, expected, tolerance):
    """Names whose values differ by more than a share of their largest."""
    # A key bias without rotation changes no probability: its gradient is nothing but rounding.
    least = 0.02 * max(whole.abs().max() for whole in expected.values())
    return {
        name
        for name, whole in expected.items()
        if (found[name] - whole).abs().max() > tolerance * max(whole.abs().max(), least)
    }


def compare(config, ranks, expected):
    for rank in ranks:
        assert rank.loss == pytest.approx(expected.loss, rel=1e-5)
        assert rank.z_loss == pytest.approx(expected.z_loss, rel=1e-5)
        torch.testing.assert_close(rank.hidden, expected.hidden, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(rank.logits, expected.logits, rtol=1e-5, atol=1e-4)
        assert torch.equal(rank.logits, ranks[0].logits)
        assert (rank.loss, rank.z_loss) == (ranks[0].loss, ranks[0].z_loss)
    found, wanted = whole_gradients(config, ranks), whole_gradients(config, [expected])
    assert differing(found, wanted, 1e-5) == set()


@pytest.fixture(params=[2, 4])
def processes(request, two_processes, four_processes):
    return {2: two_processes, 4: four_processes}[request.param]


MODELS = {
    "gpt2": ("gpt2", {}),
    "gpt2_untied": ("gpt2_untied", {}),
    "neox": ("neox", {}),
    "neox_whole_heads": ("neox_whole_heads", {}),
    "neox_serial": ("neox_serial", {}),
    "llama": ("llama", {}),
    "llama_two_key_value_heads": ("llama_grouped", {}),
    "llama_four_of_eight_heads": ("llama", {"num_attention_heads": 8, "num_key_value_heads": 4}),
    "palm": ("palm", {}),
    "palm_qk_norm": ("palm", {"qk_norm": True}),
    "palm_two_key_value_heads_qk_norm": ("palm_grouped_qk_norm", {}),
    "palm_eight_heads": ("palm_grouped_qk_norm", {"num_attention_heads": 8}),
    "padding_fills_whole_shards": ("neox", {"vocab_size": 20}),
}


@pytest.mark.distributed
@pytest.mark.parametrize("model", MODELS)
def test_losses_hidden_states_and_gradients_equal_one_process(tiny, processes, model):
    variant, fields = MODELS[model]
    config = tiny(variant, **fields)
    hows = (PLAIN, EVERYTHING)
    for how, *ranks in zip(hows, *processes.run(passes, config, hows), strict=True):
        compare(config, ranks, one_pass(config, how))


@pytest.mark.distributed
@pytest.mark.parametrize("variant", ["gpt2", "llama_grouped", "palm_grouped_qk_norm"])
def test_low_precision_is_as_near_as_in_one_process(tiny, processes, variant):
    """Relative error of the whole gradient against float32: at most 1.5 times that of one process."""
    config = tiny(variant)
    hows = (way(dtype=torch.bfloat16, z_loss=0.02),)
    exact, alone = one_pass(config, way(z_loss=0.02)), one_pass(config, *hows)
    ranks = [result for (result,) in processes.run(passes, config, hows)]
    assert ranks[0].hidden.dtype == torch.bfloat16
    assert ranks[0].loss == pytest.approx(exact.loss, rel=0.01)
    wanted = whole_gradients(config, [exact])

    def error(results):
        found = whole_gradients(config, results)
        total = sum((found[name] - whole).square().sum() for name, whole in wanted.items())
        return (total / sum(whole.square().sum() for whole in wanted.values())).sqrt().item()

    assert error(ranks) < 1.5 * error([alone]) < 0.1


@pytest.mark.distributed
@pytest.mark.parametrize("variant", ["neox", "palm"])
def test_compiled_blocks_are_one_graph_and_give_the_same(tiny, two_processes, variant):
    config = tiny(variant)
    hows = (way(compiled=True), way(compiled=True, checkpointed=True))
    for how, *ranks in zip(hows, *two_processes.run(passes, config, hows), strict=True):
        compare(config, ranks, one_pass(config, way(checkpointed=how.checkpointed)))


@pytest.mark.distributed
@pytest.mark.parametrize("variant", ["gpt2", "palm_grouped_qk_norm"])
def test_a_gradient_that_is_not_summed_is_noticed(tiny, four_processes, variant):
    config = tiny(variant)
    how = way(sums_gradients=False)
    ranks = [result for (result,) in four_processes.run(passes, config, (how,))]
    with pytest.raises(AssertionError, match="ranks disagree"):
        whole_gradients(config, ranks)
    for rank in ranks:  # with the owner's gradient alone
        rank.gradients = [(place, gradient) for place, gradient in rank.gradients if place.owned]
    wanted = whole_gradients(config, [one_pass(config, how)])
    parts = {"kv": ("k", "v")}
    unsummed = set()
    for name in ranks[0].summed:
        *scope, module, kind = name.split(".")
        unsummed |= {".".join([*scope, part, kind]) for part in parts.get(module, (module,))}
    assert unsummed
    assert differing(whole_gradients(config, ranks), wanted, 1e-5) == unsummed


@pytest.mark.parametrize("size", [2, 4])
def test_every_element_has_one_owner(tiny, variant, size):
    config = tiny(variant)
    ranks = [Decoder(config, TensorAxis(rank, size)).placements() for rank in range(size)]
    counts = {name: np.zeros(shape, dtype=int) for name, shape in parameter_shapes(config).items()}
    for rank in ranks:
        for place in rank.values():
            for part in place.slices:
                counts[part.name][part.index] += place.owned
    assert all((count == 1).all() for count in counts.values())


@pytest.mark.distributed
def test_a_wrong_owner_is_noticed(tiny, two_processes):
    config = tiny("palm")
    ranks = [result for (result,) in two_processes.run(passes, config, (PLAIN,))]
    place, gradient = ranks[1].gradients[-1]
    assert not place.owned
    ranks[1].gradients[-1] = dataclasses.replace(place, owned=True), gradient
    with pytest.raises(AssertionError, match="owned twice"):
        whole_gradients(config, ranks)
    ranks[1].gradients[-1] = place, gradient
    place, gradient = ranks[0].gradients[0]
    ranks[0].gradients[0] = dataclasses.replace(place, owned=False), gradient
    with pytest.raises(AssertionError, match=r"ranks disagree|owned by nobody"):
        whole_gradients(config, ranks)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_initial_weights_are_the_same_model_at_every_size(tiny, variant, size):
    config = tiny(variant)
    expected = Decoder(config)
    initialize(expected, config, seed=3)
    ranks = []
    for rank in range(size):
        decoder = Decoder(config, TensorAxis(rank, size))
        initialize(decoder, config, seed=3)
        places = decoder.placements()
        values = [(places[name], parameter.detach()) for name, parameter in decoder.named_parameters()]
        assert all(sum(part.numel for part in place.slices) == value.numel() for place, value in values)
        ranks.append(SimpleNamespace(gradients=values))
    found = whole_gradients(config, ranks)
    whole = SimpleNamespace(gradients=[(expected.placements()[n], p.detach()) for n, p in expected.named_parameters()])
    for name, value in whole_gradients(config, [whole]).items():
        assert torch.equal(found[name], value), name


def test_divided_shapes_and_what_shares_a_key_value_head(tiny):
    axis = TensorAxis(rank=3, size=4)
    with torch.device("meta"):
        decoder = Decoder(tiny("palm_grouped_qk_norm"), axis)
    shapes = {name.removeprefix("layers.0."): tuple(value.shape) for name, value in decoder.named_parameters()}
    assert shapes["embedding.weight"] == (32, 64)
    assert shapes["attention.q.weight"] == (16, 64)
    assert shapes["attention.kv.weight"] == (32, 64)
    assert shapes["attention.o.weight"] == (64, 16)
    assert shapes["attention.q_norm.weight"] == (1, 16)
    assert shapes["attention.k_norm.weight"] == (1, 16)
    assert shapes["mlp.gate_up.weight"] == (128, 64)
    assert shapes["mlp.down.weight"] == (64, 64)
    places = decoder.placements()
    assert [(part.name, part.offset) for part in places["layers.1.attention.kv.weight"].slices] == [
        ("layers.1.attention.k.weight", (16, 0)),
        ("layers.1.attention.v.weight", (16, 0)),
    ]
    assert not places["layers.1.attention.kv.weight"].owned
    assert [(part.name, part.offset) for part in places["layers.1.mlp.down.weight"].slices] == [
        ("layers.1.mlp.down.weight", (0, 192))
    ]


@pytest.mark.parametrize(
    ("variant", "fields", "size", "message"),
    [
        ("llama", {}, 3, "128 rows of the vocabulary cannot be divided over 3"),
        ("llama", {}, 8, "4 attention heads cannot be divided over 8"),
        ("llama", {"intermediate_size": 90}, 4, "90 inner dimensions .* cannot be divided over 4"),
        ("llama", {"num_attention_heads": 8, "intermediate_size": 256}, 16, "8 attention heads"),
    ],
)
def test_what_cannot_be_divided_is_refused(tiny, variant, fields, size, message):
    with pytest.raises(ValueError, match=message):
        Decoder(tiny(variant, **fields), TensorAxis(0, size))


def test_key_value_heads_that_fit_neither_way_are_refused(tiny):
    config = tiny("llama", hidden_size=96, num_attention_heads=12, num_key_value_heads=6)
    with pytest.raises(ValueError, match="6 key/value heads cannot be divided over 4"):
        Decoder(config, TensorAxis(0, 4))


def test_a_length_that_cannot_be_divided_is_refused(tiny):
    decoder = Decoder(tiny("llama"), TensorAxis(0, 2))
    with pytest.raises(ValueError, match="15 positions of a sequence cannot be divided over 2"):
        decoder(torch.zeros(1, 15, dtype=torch.long))
