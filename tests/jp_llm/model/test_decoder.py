"""The decoder against a second implementation that is written from the papers, without fusing anything."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initialize
from jp_llm.model.positions import rotary_tables


def build(config, **arguments):
    """A decoder whose norms and biases are not at their neutral initial values either."""
    decoder = Decoder(config, **arguments)
    initialize(decoder, config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if "norm" in name or name.endswith(".bias"):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return decoder


def canonical(decoder):
    """Canonical name -> tensor."""
    result = {}
    for name, pieces in decoder.slices().items():
        flat, start = decoder.get_parameter(name).detach().flatten(), 0
        for piece in pieces:
            result[piece.name] = flat[start : start + piece.numel].view(piece.shape)
            start += piece.numel
    return result


def reference_logits(config, weights, tokens):
    """Logits of one row of tokens, [T, vocab_size]; every head and position by itself where that is possible."""
    arch, heads, size = config.arch, config.num_attention_heads, config.head_dim
    rotated = {"gpt2": 0, "neox": size // 4, "llama": size, "palm": size}[arch]
    if config.partial_rotary_factor == 1.0:
        rotated = size
    length = len(tokens)

    def norm(name, x):
        weight = weights[f"{name}.weight"]
        if arch == "llama":
            return x / (x.square().mean(-1, keepdim=True) + config.norm_eps).sqrt() * weight
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + config.norm_eps).sqrt() * weight
        return x if arch == "palm" else x + weights[f"{name}.bias"]

    def linear(name, x):
        y = x @ weights[f"{name}.weight"].T
        return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y

    def turn(x):  # [T, size]: pairs (i, i + rotated / 2) are complex numbers
        half = rotated // 2
        pairs = torch.complex(x[:, :half], x[:, half:rotated])
        frequencies = torch.tensor([config.rope_theta ** (-2 * i / rotated) for i in range(half)], dtype=x.dtype)
        angles = torch.arange(length, dtype=x.dtype)[:, None] * frequencies
        pairs = pairs * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([pairs.real, pairs.imag, x[:, rotated:]], dim=1)

    def attention(name, x):
        q, k, v = (linear(f"{name}.{part}", x) for part in "qkv")
        group = heads // config.key_value_heads
        out = []
        for head in range(heads):
            kv = head // group
            q_head = q[:, head * size : (head + 1) * size]
            k_head, v_head = (y[:, kv * size : (kv + 1) * size] for y in (k, v))
            if config.qk_norm:
                q_head = norm_of_head(q_head, weights[f"{name}.q_norm.weight"][head])
                k_head = norm_of_head(k_head, weights[f"{name}.k_norm.weight"][kv])
            if rotated:
                q_head, k_head = turn(q_head), turn(k_head)
            scores = q_head @ k_head.T / math.sqrt(size)
            scores[torch.triu(torch.ones(length, length, dtype=torch.bool), 1)] = -math.inf
            out.append(scores.softmax(-1) @ v_head)
        return linear(f"{name}.o", torch.cat(out, dim=1))

    def norm_of_head(x, weight):
        x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + config.norm_eps).sqrt() * weight

    def mlp(name, x):
        up = linear(f"{name}.up", x)
        if arch in ("llama", "palm"):
            gate = linear(f"{name}.gate", x)
            inner = gate / (1 + (-gate).exp()) * up
        elif arch == "neox":
            inner = up * (1 + torch.erf(up / math.sqrt(2))) / 2
        else:
            inner = up * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3))) / 2
        return linear(f"{name}.down", inner)

    x = weights["embedding.weight"][tokens]
    if arch == "gpt2":
        x = x + weights["positions.weight"][:length]
    for i in range(config.num_layers):
        layer = f"layers.{i}"
        n = norm(f"{layer}.attention_norm", x)
        attended = attention(f"{layer}.attention", n)
        if arch == "palm":
            x = x + attended + mlp(f"{layer}.mlp", n)
        elif arch == "neox" and config.parallel_residual is not False:
            x = x + attended + mlp(f"{layer}.mlp", norm(f"{layer}.mlp_norm", x))
        else:
            x = x + attended
            x = x + mlp(f"{layer}.mlp", norm(f"{layer}.mlp_norm", x))
    head = weights.get("head.weight", weights["embedding.weight"])
    return config.logit_scale * norm("final_norm", x) @ head[: config.vocab_size].T


def gradients(decoder, tokens, **arguments):
    decoder.zero_grad()
    weights = torch.linspace(-1, 1, decoder.config.hidden_size)
    (decoder(tokens, **arguments) * weights).sum().backward()
    return {
        name: parameter.grad.clone() for name, parameter in decoder.named_parameters() if parameter.grad is not None
    }


def test_logits_equal_the_reference(tiny, variant):
    config = tiny(variant)
    decoder = build(config).double()
    tokens = torch.randint(config.vocab_size, (2, 24))
    with torch.no_grad():
        logits = decoder.logits(decoder(tokens))
    expected = torch.stack([reference_logits(config, canonical(decoder), row) for row in tokens])
    assert logits.shape == (2, 24, 100)
    assert logits.dtype == torch.float32
    assert expected.std() > 0.5 * config.logit_scale
    # The angles of the rotary tables are float32, the rest of both sides is float64.
    torch.testing.assert_close(logits, expected.float(), rtol=0, atol=5e-5)


def test_low_precision_stays_near(tiny, variant):
    config = tiny(variant)
    decoder = build(config)
    tokens = torch.randint(config.vocab_size, (2, 24))
    with torch.no_grad():
        expected = decoder.logits(decoder(tokens))
        hidden = decoder.bfloat16()(tokens)
        logits = decoder.logits(hidden)
    assert hidden.dtype == torch.bfloat16
    assert (logits - expected).abs().mean() < 0.03 * expected.std()


def test_later_tokens_change_nothing_before_them(tiny, arch):
    config = tiny(arch)
    decoder = build(config)
    tokens = torch.randint(config.vocab_size, (1, 16))
    changed = tokens.clone()
    changed[0, 9] = (changed[0, 9] + 1) % config.vocab_size
    with torch.no_grad():
        before, after = decoder(tokens), decoder(changed)
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.isclose(before[:, 9:], after[:, 9:]).all(dim=-1).any()


def test_slices_cover_every_canonical_element_exactly_once(tiny, variant):
    config = tiny(variant)
    decoder = Decoder(config)
    seen = {name: np.zeros(shape, dtype=int) for name, shape in parameter_shapes(config).items()}
    slices = decoder.slices()
    assert slices.keys() == dict(decoder.named_parameters()).keys()
    for name, pieces in slices.items():
        assert sum(piece.numel for piece in pieces) == decoder.get_parameter(name).numel()
        for piece in pieces:
            assert seen[piece.name].shape == piece.whole
            seen[piece.name][piece.index] += 1
    assert all((count == 1).all() for count in seen.values())


def test_fused_projections_are_named_by_their_parts(tiny):
    slices = Decoder(tiny("palm_grouped_qk_norm")).slices()
    assert [(piece.name, piece.whole) for piece in slices["layers.1.attention.qkv.weight"]] == [
        ("layers.1.attention.q.weight", (64, 64)),
        ("layers.1.attention.k.weight", (32, 64)),
        ("layers.1.attention.v.weight", (32, 64)),
    ]
    assert [piece.name for piece in slices["layers.0.attention.qk_norm.weight"]] == [
        "layers.0.attention.q_norm.weight",
        "layers.0.attention.k_norm.weight",
    ]
    assert [piece.name for piece in slices["layers.0.mlp.gate_up.weight"]] == [
        "layers.0.mlp.gate.weight",
        "layers.0.mlp.up.weight",
    ]


@pytest.mark.parametrize("variant", ["gpt2", "neox", "palm"])
def test_two_stages_are_the_whole_model(tiny, variant):
    config = tiny(variant, num_layers=3)
    whole = build(config)
    first = Decoder(config, layers=range(2), head=False)
    last = Decoder(config, layers=range(2, 3), embedding=False)
    for stage in (first, last):
        stage.load_state_dict({name: whole.state_dict()[name] for name in stage.state_dict()})
    tokens = torch.randint(config.vocab_size, (2, 12))
    documents = (torch.arange(12) > 4).long().expand(2, 12)
    for ids in (None, documents):
        hidden = first(tokens, ids)
        assert torch.equal(last(hidden, ids), whole(tokens, ids))
    if config.tied:
        assert last.head_weight() is None
        with pytest.raises(ValueError, match="in another part"):
            last.logits(hidden)
    else:
        assert torch.equal(last.head_weight(), whole.head_weight())
    assert "layers.2.mlp.down.weight" in last.slices()
    assert not first.slices().keys() & last.slices().keys()
    assert whole.slices().keys() == first.slices().keys() | last.slices().keys()
    with pytest.raises(ValueError, match="no head"):
        first.head_weight()


@pytest.mark.parametrize("variant", ["gpt2", "neox", "llama_grouped", "palm"])
def test_a_document_sees_only_itself(tiny, variant):
    config = tiny(variant)
    decoder = build(config)
    lengths = [5, 1, 11, 7]
    tokens = torch.randint(config.vocab_size, (2, sum(lengths)))
    ids = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths)).expand(2, -1)
    with torch.no_grad():
        together = decoder(tokens, ids)
        alone = torch.cat([decoder(part) for part in tokens.split(lengths, dim=1)], dim=1)
        unmasked = decoder(tokens)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.isclose(unmasked[:, 5:], alone[:, 5:], atol=1e-3).all(dim=-1).any()


@pytest.mark.parametrize("variant", ["gpt2", "palm_grouped_qk_norm"])
def test_checkpointed_blocks_run_twice_and_give_the_same_gradients(tiny, variant):
    config = tiny(variant)
    tokens = torch.randint(config.vocab_size, (2, 16))
    expected = gradients(build(config), tokens)
    decoder = build(config, activation_checkpointing=True)
    calls = []
    for block in decoder.layers.values():
        block.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    found = gradients(decoder, tokens)
    assert len(calls) == 2 * config.num_layers
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-6, msg=name)


def block_with_inputs(config, masked=False):
    torch._dynamo.reset()
    block = build(config).layers["0"]
    length = 16
    x = torch.randn(2, length, config.hidden_size)
    rotary = rotary_tables(torch.arange(length), config.rotary_dim, 1e4, x.dtype) if config.rotary_dim else None
    mask = torch.ones(2, 1, length, length, dtype=torch.bool).tril() if masked else None
    return block, x, rotary, mask


def forward_backward(function, block, x, rotary, mask):
    block.zero_grad()
    x = x.clone().requires_grad_()
    y = function(x, rotary, mask)
    (y * torch.linspace(-1, 1, y.shape[-1])).sum().backward()
    return y.detach(), x.grad, *(parameter.grad.clone() for parameter in block.parameters())


@pytest.mark.parametrize("masked", [False, True])
def test_a_block_compiles_as_one_graph(tiny, variant, masked):
    inputs = block_with_inputs(tiny(variant), masked)
    expected = forward_backward(inputs[0], *inputs)
    found = forward_backward(torch.compile(inputs[0], fullgraph=True, backend="aot_eager"), *inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")  # raised inside inductor
def test_inductor_gives_the_same_block(tiny):
    inputs = block_with_inputs(tiny("llama_grouped"))
    expected = forward_backward(inputs[0], *inputs)
    found = forward_backward(torch.compile(inputs[0], fullgraph=True), *inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # raised inside dynamo
@pytest.mark.parametrize("activation_checkpointing", [False, True])
def test_compiled_blocks_train_alike_at_any_length(tiny, activation_checkpointing):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    config = tiny("llama_grouped", num_layers=6)
    plain = build(config)
    compiled = build(config, activation_checkpointing=activation_checkpointing)
    compiled.compile_blocks(backend="aot_eager")
    for length in (16, 9):
        tokens = torch.randint(config.vocab_size, (2, length))
        torch.testing.assert_close(gradients(compiled, tokens), gradients(plain, tokens), rtol=1e-4, atol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(compiled(tokens), plain(tokens), rtol=1e-4, atol=1e-4)
    # With and without gradients, for the first and for any length; not once per layer.
    assert 0 < torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 4
    assert not torch._dynamo.utils.counters["graph_break"]
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_built_on_the_meta_device_and_moved_it_is_the_same_model(tiny, variant):
    config = tiny(variant)
    with torch.device("meta"):
        decoder = Decoder(config)
    assert all(parameter.is_meta for parameter in decoder.parameters())
    assert not list(decoder.buffers())
    decoder.to_empty(device="cpu")
    initialize(decoder, config, seed=1)
    whole = Decoder(config)
    initialize(whole, config, seed=1)
    tokens = torch.randint(config.vocab_size, (1, 8))
    assert torch.equal(decoder(tokens), whole(tokens))


@pytest.mark.parametrize("variant", ["gpt2", "llama"])
def test_more_tokens_than_positions_are_refused(tiny, variant):
    decoder = build(tiny(variant))
    with pytest.raises(ValueError, match="33 tokens are more than max_position_embeddings 32"):
        decoder(torch.zeros(1, 33, dtype=torch.long))


def test_building_draws_no_random_numbers(tiny, arch):
    state = torch.get_rng_state()
    config = tiny(arch)
    initialize(Decoder(config), config, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


class _Operators(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.name())
        return function(*args, **(kwargs or {}))


def test_attention_takes_the_fused_kernel(tiny, variant):
    config = tiny(variant)
    decoder = build(config)
    tokens = torch.randint(config.vocab_size, (2, 16))
    for ids in (None, (tokens == 1).cumsum(1)):
        with _Operators() as operators, torch.no_grad():
            decoder(tokens, ids)
        fused = [name for name in operators.names if "flash_attention" in name]
        assert len(fused) == config.num_layers
