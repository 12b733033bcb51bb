import dataclasses

import pytest
import torch

from jp_llm.parallel.slices import Slice, whole_slice
from jp_llm.parallel.tensor import Placement, Share, TensorAxis, placement, sum_gradients


def test_what_cannot_be_divided_is_named():
    axis = TensorAxis(rank=1, size=4)
    assert axis.divided(12, "heads") == 3
    with pytest.raises(ValueError, match="10 heads cannot be divided over 4 tensor-parallel ranks"):
        axis.divided(10, "heads")


def test_a_share_is_cut_along_its_dimension():
    assert Share().cut("x", (6, 4)) == whole_slice("x", (6, 4))
    assert Share(0, 1, 3).cut("x", (6, 4)) == Slice("x", (6, 4), offset=(2, 0), shape=(2, 4))
    assert Share(1, 3, 4).cut("x", (6, 4)) == Slice("x", (6, 4), offset=(0, 3), shape=(6, 1))


def test_owners_and_gradient_groups():
    # Groups are only passed on; any objects will do.
    axes = [TensorAxis(rank, 4, group="all", key_value_group="neighbours") for rank in range(4)]

    def places(shares):
        return [placement([("x", (8, 2))], share, axis) for share, axis in zip(shares, axes, strict=True)]

    divided = places([Share(0, rank, 4) for rank in range(4)])
    assert [place.owned for place in divided] == [True] * 4
    assert {place.gradient_group for place in divided} == {None}
    shared = places([Share(0, rank // 2, 2) for rank in range(4)])
    assert [place.owned for place in shared] == [True, False, True, False]
    assert {place.gradient_group for place in shared} == {"neighbours"}
    assert [place.slices[0].offset for place in shared] == [(0, 0), (0, 0), (4, 0), (4, 0)]
    replicated = places([Share()] * 4)
    assert [place.owned for place in replicated] == [True, False, False, False]
    assert {place.gradient_group for place in replicated} == {"all"}
    alone = placement([("x", (8, 2))], Share(), TensorAxis())
    assert alone == Placement((whole_slice("x", (8, 2)),))


def summed_twice(dtype):
    """Gradients after each of two backward passes, and of a tensor that shares memory with the first gradient."""
    rank = torch.distributed.get_rank()
    module = torch.nn.Module()
    module.summed, module.own = (torch.nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(2))
    place = placement([("x", (3,))], Share(), TensorAxis(rank, 2, torch.distributed.group.WORLD))
    sum_gradients(module, {"summed": place, "own": dataclasses.replace(place, gradient_group=None)})
    gradients = []
    for _ in range(2):
        # Autograd hands the same tensor to both.
        (module.summed + module.own).backward(torch.full((3,), 1.0 + rank, dtype=dtype))
        gradients.append([module.summed.grad.clone(), module.own.grad.clone()])
    return gradients


@pytest.mark.distributed
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_summed_in_every_backward_pass(two_processes, dtype):
    for rank, gradients in enumerate(two_processes.run(summed_twice, dtype)):
        for step, (summed, own) in enumerate(gradients, start=1):
            assert summed.dtype == dtype
            assert summed.tolist() == [3.0 * step] * 3
            assert own.tolist() == [(1.0 + rank) * step] * 3
