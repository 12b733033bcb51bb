"""How canonical parameters become one Hugging Face tensor, and back.

Canonical: separate q, k, v; linear weights [out, in] with heads outermost; half-split rotary order; padded vocabulary.
Every transform moves numbers and changes none, works on meta tensors too (so it also answers for shapes), and has an
inverse. Letters in shape comments: N heads, H head size, D hidden.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from jp_llm.arch.huggingface import ExportedModel, name_rules
from jp_llm.arch.parameters import parameter_shapes
from jp_llm.arch.spec import NameRule, Transform


def export(rule: NameRule, sources: Sequence[Tensor], model: ExportedModel) -> Tensor:
    """The Hugging Face tensor of `rule`, made of its canonical `sources` (in the order of the rule)."""
    return _TRANSFORMS[rule.transform].forward(sources, model)


def restore(rule: NameRule, tensor: Tensor, model: ExportedModel) -> tuple[Tensor, ...]:
    """The canonical parameters of `rule` (in its order) from the Hugging Face `tensor`; the inverse of `export`."""
    return _TRANSFORMS[rule.transform].inverse(tensor, model)


def tensor_shapes(model: ExportedModel) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of the files: the transforms themselves, carried out on tensors without numbers."""
    canonical = parameter_shapes(model)
    return {
        rule.key: tuple(
            export(rule, [torch.empty(canonical[name], device="meta") for name in rule.sources], model).shape
        )
        for rule in name_rules(model)
    }


@dataclass(frozen=True)
class _Pair:
    forward: Callable[[Sequence[Tensor], ExportedModel], Tensor]
    inverse: Callable[[Tensor, ExportedModel], tuple[Tensor, ...]]


def _pad_vocabulary(tensor: Tensor, model: ExportedModel) -> tuple[Tensor, ...]:
    # Padding rows are never looked up, and masked in the loss: no gradient reaches them, so zero is as good as any.
    return (pad(tensor, (0, 0, 0, model.padded_vocab_size - tensor.shape[0])),)


def _qkv_columns(sources: Sequence[Tensor], model: ExportedModel) -> Tensor:
    """q, k, v side by side as columns: weight [D, 3 N H], bias [3 N H] (GPT-2's Conv1D)."""
    return torch.cat(list(sources)).t()


def _split_columns(tensor: Tensor, model: ExportedModel) -> tuple[Tensor, ...]:
    return tensor.t().chunk(3)


def _qkv_heads(sources: Sequence[Tensor], model: ExportedModel) -> Tensor:
    """Rows ordered head, then q, k, v, then dimension: weight [N 3 H, D], bias [N 3 H] (GPT-NeoX)."""
    by_head = [source.reshape(-1, model.head_dim, *source.shape[1:]) for source in sources]
    return torch.stack(by_head, dim=1).flatten(0, 2)


def _split_heads(tensor: Tensor, model: ExportedModel) -> tuple[Tensor, ...]:
    by_head = tensor.reshape(-1, 3, model.head_dim, *tensor.shape[1:])
    return tuple(part.flatten(0, 1) for part in by_head.unbind(1))


def _interleave(tensor: Tensor, model: ExportedModel) -> Tensor:
    """Rows of every head in the order 0, H/2, 1, H/2 + 1, ...: rotary pairs become neighbours. [N H, D]"""
    return tensor.reshape(-1, 2, model.head_dim // 2, *tensor.shape[1:]).transpose(1, 2).flatten(0, 2)


def _deinterleave(tensor: Tensor, model: ExportedModel) -> Tensor:
    return tensor.reshape(-1, model.head_dim // 2, 2, *tensor.shape[1:]).transpose(1, 2).flatten(0, 2)


_TRANSFORMS: dict[Transform, _Pair] = {
    "copy": _Pair(lambda sources, model: sources[0], lambda tensor, model: (tensor,)),
    "vocabulary": _Pair(lambda sources, model: sources[0][: model.vocab_size], _pad_vocabulary),
    # A bias has one dimension and stays as it is.
    "transpose": _Pair(lambda sources, model: sources[0].t(), lambda tensor, model: (tensor.t(),)),
    "qkv_columns": _Pair(_qkv_columns, _split_columns),
    "qkv_heads": _Pair(_qkv_heads, _split_heads),
    "interleaved_rows": _Pair(
        lambda sources, model: _interleave(sources[0], model),
        lambda tensor, model: (_deinterleave(tensor, model),),
    ),
    # The norms of queries and keys: [N, H].
    "interleaved_columns": _Pair(
        lambda sources, model: _interleave(sources[0].t(), model).t(),
        lambda tensor, model: (_deinterleave(tensor.t(), model).t(),),
    ),
}
