"""Fingerprints of tensors: what they see, compared with the same arithmetic in Python's integers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.engine.fingerprint import _ROW, _odd_numbers, fingerprint

SIZES = (1, 2, 7, _ROW - 1, _ROW, _ROW + 1, 17 * _ROW + 3)


def values(size: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(size)).to(dtype)


def by_python(integers: list[int]) -> int:
    odd = _odd_numbers(torch.device("cpu")).tolist()
    while True:
        rows = [integers[start : start + _ROW] for start in range(0, len(integers), _ROW)]
        integers = [sum(value * number for value, number in zip(row, odd, strict=False)) for row in rows]
        integers = [(value + 2**63) % 2**64 - 2**63 for value in integers]
        if len(integers) == 1:
            return integers[0]


@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_sum_that_it_says(size: int) -> None:
    tensor = values(size, torch.bfloat16)
    assert int(fingerprint(tensor)) == by_python(tensor.view(torch.int16).tolist())


@given(
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from([(torch.bfloat16, torch.int16), (torch.float32, torch.int32)]),
    place=st.integers(min_value=0),
    bit=st.integers(min_value=0),
)
def test_any_single_bit_changes_it(size: int, dtype: tuple[torch.dtype, torch.dtype], place: int, bit: int) -> None:
    tensor = values(size, dtype[0])
    before = fingerprint(tensor)
    integers = tensor.view(dtype[1])
    bits = 8 * tensor.element_size()
    integers[place % size] ^= (1 << bit % bits) - ((1 << bits) if bit % bits == bits - 1 else 0)
    assert fingerprint(tensor) != before


def test_the_sign_of_zero_the_place_and_the_shape() -> None:
    zeros = torch.zeros(5)
    assert fingerprint(zeros) != fingerprint(-zeros)
    ordered = torch.arange(6.0)
    assert fingerprint(ordered) != fingerprint(ordered.flip(0))
    # Only the elements count, and a view is as good as a copy.
    assert fingerprint(ordered.view(2, 3)) == fingerprint(ordered)
    assert fingerprint(ordered.view(2, 3).T) == fingerprint(ordered.view(2, 3).T.contiguous())


def test_not_a_number_is_a_value_like_others() -> None:
    assert fingerprint(torch.tensor([torch.nan])) == fingerprint(torch.tensor([torch.nan]))
