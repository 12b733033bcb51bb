"""Hugging Face folders as a source of canonical parameters, against transformers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published import PUBLISHED, small
from safetensors.torch import load_file, save_file
from torch import Tensor

from jp_llm.huggingface import transforms
from jp_llm.huggingface.parity import load_reference
from jp_llm.huggingface.reader import HuggingFaceReader
from jp_llm.model.source import load_native
from jp_llm.parallel.slices import Piece, Slice
from jp_llm.runtime.errors import UserError

Made = Callable[[str], Path]
WEIGHTS = "model.safetensors"


def logits(folder: Path, tokens_BT: Tensor) -> Tensor:
    """Ours, in fp32."""
    reader = HuggingFaceReader(folder)
    decoder = load_native(reader, reader.model)
    with torch.inference_mode():
        return decoder.logits(decoder(tokens_BT))


def difference(folder: Path, length: int = 40) -> tuple[float, float]:
    """Between our logits and those of transformers, and the largest of them."""
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    tokens_BT = torch.randint(vocabulary, (2, length), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        theirs_BTV = load_reference(folder, surplus=True)(input_ids=tokens_BT).logits
    ours_BTV = logits(folder, tokens_BT)
    assert ours_BTV.shape == theirs_BTV.shape
    assert torch.equal(ours_BTV.argmax(-1), theirs_BTV.argmax(-1))
    return (ours_BTV - theirs_BTV).abs().max().item(), theirs_BTV.abs().max().item()


@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_are_those_of_transformers(name: str, made: Made) -> None:
    found, largest = difference(made(name))
    assert largest > 0.1
    assert found <= 1e-4
    assert found <= 1e-5 * largest


@pytest.mark.parametrize("name", ["rinna-3.6b", "llama-gqa"])
def test_long_texts_are_rotated_as_in_transformers(name: str, made_small: Made) -> None:
    found, largest = difference(made_small(name), length=1500)
    assert found <= 1e-5 * largest


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_number_is_there_once(name: str, made_small: Made) -> None:
    """The way back gives the bits of the files."""
    reader = HuggingFaceReader(made_small(name))
    stored = load_file(made_small(name) / WEIGHTS)
    rules = {rule.key: rule for rule, _ in reader._rules.values()}
    assert set(reader._places) == set(rules)
    for key, rule in rules.items():
        back = transforms.export(rule, [reader.read(source) for source in rule.sources], reader.model)
        there = stored[reader._places[key].key]
        assert torch.equal(back.to(there.dtype).contiguous().view(torch.int16), there.view(torch.int16)), key
    assert {place.key for place in reader._places.values()} == set(stored)


def test_padding_of_the_vocabulary_is_zero(made_small: Made) -> None:
    reader = HuggingFaceReader(made_small("rinna-3.6b"))
    for name in ("embedding.weight", "head.weight"):
        assert reader.shape(name) == (384, 176)
        assert not reader.read(name)[300:].any()
        assert reader.read(name)[:300].any()


def test_several_files_are_one_model(tmp_path: Path, made_small: Made) -> None:
    folder = small(tmp_path / "sharded", "llama-gqa", max_shard_size="300KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    one, several = HuggingFaceReader(made_small("llama-gqa")), HuggingFaceReader(folder)
    for name in one.names:
        assert torch.equal(one.read(name), several.read(name))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_piece_is_a_part_of_the_whole(data: st.DataObject, made_small: Made) -> None:
    reader = HuggingFaceReader(made_small(data.draw(st.sampled_from(["rinna-1b", "rinna-3.6b", "command-r-plus"]))))
    name = data.draw(st.sampled_from(reader.names))
    shape = reader.shape(name)
    offset = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    box = tuple(data.draw(st.integers(1, size - start)) for size, start in zip(shape, offset, strict=True))
    part = Slice(name, shape, offset, box)
    start = data.draw(st.integers(0, part.numel - 1))
    piece = Piece(part, start, data.draw(st.integers(start + 1, part.numel)))
    expected = reader.read(name)[part.index].reshape(-1)[piece.start : piece.stop]
    assert torch.equal(reader.read_piece(piece, "weight"), expected)
    assert torch.equal(reader.read_piece(piece, "exp_avg"), torch.zeros(piece.size))


def rewritten(source: Path, target: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    """A copy of a folder with other tensors."""
    shutil.copytree(source, target)
    tensors = change(load_file(source / WEIGHTS))
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, target / WEIGHTS, {"format": "pt"})
    return target


def reconfigured(source: Path, target: Path, **values: Any) -> Path:
    """A copy of a folder with another config.json."""
    shutil.copytree(source, target)
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | values))
    return target


def same_weights(one: Path, other: Path) -> None:
    first, second = HuggingFaceReader(one), HuggingFaceReader(other)
    assert first.names == second.names
    assert all(torch.equal(first.read(name), second.read(name)) for name in first.names)


def test_old_gpt2_files_have_no_prefix_and_hold_masks(tmp_path: Path, made_small: Made) -> None:
    def old(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 8, 8) for layer in range(2)}
        masks |= {f"h.{layer}.attn.masked_bias": torch.tensor(-1e4) for layer in range(2)}
        return {key.removeprefix("transformer."): tensor for key, tensor in tensors.items()} | masks

    folder = rewritten(made_small("rinna-1b"), tmp_path / "old", old)
    same_weights(folder, made_small("rinna-1b"))
    assert difference(folder)[0] <= 1e-5


def test_old_neox_files_hold_masks_and_frequencies_and_either_name_of_the_head(
    tmp_path: Path, made_small: Made
) -> None:
    def old(tensors: dict[str, Tensor], head: str) -> dict[str, Tensor]:
        layer = "gpt_neox.layers.0.attention"
        more = {f"{layer}.bias": torch.ones(1, 1, 8, 8), f"{layer}.masked_bias": torch.tensor(-1e9)}
        more[f"{layer}.rotary_emb.inv_freq"] = torch.ones(4)
        names = {"lm_head.weight": head, "embed_out.weight": head}
        return {names.get(key, key): tensor for key, tensor in tensors.items()} | more

    for head in ("lm_head.weight", "embed_out.weight"):
        folder = rewritten(made_small("rinna-3.6b"), tmp_path / head, lambda tensors, head=head: old(tensors, head))
        same_weights(folder, made_small("rinna-3.6b"))


def without(key: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name != key}


def with_tensor(key: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: tensors | {key: tensor}


LAYER = "model.layers.0.self_attn"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(f"{LAYER}.k_proj.weight"), r"self_attn.k_proj.weight \(32, 128\) is missing"),
        (without("lm_head.weight"), "lm_head.weight .* is missing; if the embedding is the head, write tie_word_emb"),
        (with_tensor(f"{LAYER}.q_proj.bias", torch.ones(128)), "q_proj.bias is left over"),
        (with_tensor(f"{LAYER}.k_norm.weight", torch.ones(16)), "k_norm.weight is left over"),
        (with_tensor(f"{LAYER}.k_proj.weight", torch.ones(64, 128)), r"is \(64, 128\) in the files and \(32, 128\)"),
        (with_tensor("model.embed_tokens.weight", torch.ones(299, 128)), r"\(299, 128\) in the files and \(300, 128\)"),
        (with_tensor("model.norm.weight", torch.ones(128, dtype=torch.int8)), "stored as I8; can be read: F32, BF16"),
        (with_tensor("model.layers.2.input_layernorm.weight", torch.ones(128)), "layers.2.* is left over"),
    ],
)
def test_files_that_do_not_fit_are_refused_before_anything_is_read(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    message: str,
    tmp_path: Path,
    made_small: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = rewritten(made_small("llama-gqa"), tmp_path / "wrong", change)
    monkeypatch.setattr(transforms, "restore", lambda *_: pytest.fail("a number was read"))
    with pytest.raises(UserError, match=message):
        HuggingFaceReader(folder)


def test_every_wrong_tensor_is_named_at_once(tmp_path: Path, made_small: Made) -> None:
    folder = rewritten(made_small("rinna-1b"), tmp_path / "wrong", lambda tensors: {"some.weight": torch.ones(1)})
    with pytest.raises(UserError) as caught:
        HuggingFaceReader(folder)
    assert len(caught.value.problems) == 29  # 28 are missing, one is left over


def test_weights_of_another_architecture_are_refused(tmp_path: Path, made_small: Made) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(made_small("llama-gqa"), folder)
    shutil.copy(made_small("rinna-1b") / "config.json", folder)
    with pytest.raises(UserError, match=r"transformer.wte.weight .* is missing"):
        HuggingFaceReader(folder)


def test_a_number_that_is_none_is_refused(tmp_path: Path, made_small: Made) -> None:
    nan = torch.ones(128, dtype=torch.bfloat16).index_fill(0, torch.tensor(3), float("nan"))
    folder = rewritten(made_small("llama-gqa"), tmp_path / "nan", with_tensor("model.norm.weight", nan))
    with pytest.raises(UserError, match=r"model.norm.weight holds NaN"):
        HuggingFaceReader(folder).read("final_norm.weight")


def test_another_shape_than_wanted_is_refused(made_small: Made) -> None:
    part = Slice("final_norm.weight", (64,), (0,), (64,))
    with pytest.raises(UserError, match=r"wanted in shape \(64,\) and stored in \(128,\)"):
        HuggingFaceReader(made_small("llama-gqa")).read_piece(Piece(part, 0, 64), "weight")


def test_a_stored_head_that_equals_the_embedding_is_tied(tmp_path: Path, made_small: Made) -> None:
    folder = rewritten(
        made_small("rinna-1b"),
        tmp_path / "equal",
        lambda tensors: tensors | {"lm_head.weight": tensors["transformer.wte.weight"].clone()},
    )
    reader = HuggingFaceReader(folder)
    assert reader.model.tied
    assert "head.weight" not in reader.names
    assert any("equals the embedding" in note for note in reader.notes)


def test_a_stored_head_that_differs_is_not_tied_whatever_config_says(tmp_path: Path, made_small: Made) -> None:
    head = torch.randn(300, 128, dtype=torch.float16)
    folder = rewritten(made_small("rinna-1b"), tmp_path / "other", with_tensor("lm_head.weight", head))
    reader = HuggingFaceReader(folder)
    assert not reader.model.tied
    assert torch.equal(reader.read("head.weight")[:300], head.float())
    assert difference(folder)[0] <= 1e-4


@pytest.mark.parametrize(("name", "tied"), [("command-r", False), ("rinna-3.6b", True)])
def test_a_tie_that_the_architecture_cannot_have_is_refused(
    name: str, tied: bool, tmp_path: Path, made_small: Made
) -> None:
    folder = reconfigured(made_small(name), tmp_path / "tied", tie_word_embeddings=tied)
    change = without("embed_out.weight") if tied else with_tensor("lm_head.weight", torch.ones(300, 128).half())
    folder = rewritten(folder, tmp_path / "files", change)
    with pytest.raises(UserError, match=r"tie_word_embeddings: .* runs elsewhere only with"):
        HuggingFaceReader(folder)


def test_dropout_is_said_to_be_ignored(made_small: Made) -> None:
    notes = HuggingFaceReader(made_small("rinna-1b")).notes
    assert [note.split()[0] for note in notes] == ["attn_pdrop", "embd_pdrop", "resid_pdrop"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rinna-3.6b", {"use_parallel_residual": True}),
        ("rinna-3.6b", {"rotary_pct": 0.5}),
        ("rinna-3.6b", {"rotary_emb_base": 500}),
        ("llama-gqa", {"rope_theta": 10000.0}),
        ("llama-gqa", {"rms_norm_eps": 1e-2}),
        ("command-r", {"logit_scale": 1.0}),
    ],
)
def test_a_misread_value_would_show(name: str, values: dict[str, Any], tmp_path: Path, made_small: Made) -> None:
    """The parity above looks at each of these: with another value the logits are far away."""
    tokens_BT = torch.randint(300, (2, 40), generator=torch.Generator().manual_seed(1))
    right = logits(made_small(name), tokens_BT)
    wrong = logits(reconfigured(made_small(name), tmp_path / "other", **values), tokens_BT)
    assert (right - wrong).abs().max() > 1e-3
