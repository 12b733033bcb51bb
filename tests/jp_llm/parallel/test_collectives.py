"""Collectives against what numpy makes of all ranks' tensors."""

import pytest
import torch

from jp_llm.parallel.collectives import gather_last, gather_sequence, scatter_sequence
from jp_llm.parallel.tensor import TensorAxis


def small_integers(rank, *shape):
    """Sums of them are exact in bfloat16, too."""
    return torch.randint(-8, 9, shape, generator=torch.Generator().manual_seed(rank)).float()


def gathered(shape, dtype, transposed):
    """(result, gradient of the input) on this rank; the gradient that arrives differs from rank to rank."""
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    axis = TensorAxis(rank, size, torch.distributed.group.WORLD)
    x = small_integers(rank, *shape).to(dtype)
    x = x.mT.contiguous().mT if transposed else x
    x.requires_grad_()
    y = gather_sequence(x, axis)
    y.backward(small_integers(10 + rank, *y.shape).to(dtype))
    return y.detach(), x.grad


def scattered(shape, dtype, transposed):
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    axis = TensorAxis(rank, size, torch.distributed.group.WORLD)
    x = small_integers(rank, *shape).to(dtype)
    x = x.mT.contiguous().mT if transposed else x
    x.requires_grad_()
    y = scatter_sequence(x, axis)
    y.backward(small_integers(10 + rank, *y.shape).to(dtype))
    return y.detach(), x.grad


def with_an_expanded_gradient():
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    axis = TensorAxis(rank, size, torch.distributed.group.WORLD)
    x = torch.ones(2, 3, 4, requires_grad=True)
    gather_sequence(x, axis).sum().backward()
    return x.grad


def gathered_last():
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    return gather_last(small_integers(rank, 2, 3, 5), TensorAxis(rank, size, torch.distributed.group.WORLD))


@pytest.fixture(params=[2, 4])
def processes(request, two_processes, four_processes):
    return {2: two_processes, 4: four_processes}[request.param]


CASES = [
    (rows, dtype, transposed)
    for rows in (1, 3)
    for dtype in (torch.float32, torch.bfloat16)
    for transposed in (False, True)
]


@pytest.mark.distributed
@pytest.mark.parametrize(("rows", "dtype", "transposed"), CASES)
def test_gather_joins_positions_and_sums_their_gradients(processes, rows, dtype, transposed):
    size, (B, S, D) = processes.size, (rows, 3, 4)
    expected = torch.cat([small_integers(rank, B, S, D) for rank in range(size)], dim=1)
    gradients = sum(small_integers(10 + rank, B, size * S, D) for rank in range(size)).chunk(size, dim=1)
    for rank, (y, gradient) in enumerate(processes.run(gathered, (B, S, D), dtype, transposed)):
        assert y.dtype == gradient.dtype == dtype
        assert torch.equal(y.float(), expected)
        assert torch.equal(gradient.float(), gradients[rank])


@pytest.mark.distributed
@pytest.mark.parametrize(("rows", "dtype", "transposed"), CASES)
def test_scatter_sums_positions_and_joins_their_gradients(processes, rows, dtype, transposed):
    size = processes.size
    B, S, D = rows, 3, 4
    sums = sum(small_integers(rank, B, size * S, D) for rank in range(size)).chunk(size, dim=1)
    expected = torch.cat([small_integers(10 + rank, B, S, D) for rank in range(size)], dim=1)
    for rank, (y, gradient) in enumerate(processes.run(scattered, (B, size * S, D), dtype, transposed)):
        assert y.dtype == gradient.dtype == dtype
        assert torch.equal(y.float(), sums[rank])
        assert torch.equal(gradient.float(), expected)


@pytest.mark.distributed
def test_a_gradient_without_memory_of_its_own_is_summed(processes):
    for gradient in processes.run(with_an_expanded_gradient):
        assert torch.equal(gradient, torch.full((2, 3, 4), float(processes.size)))


@pytest.mark.distributed
def test_last_dimensions_are_joined_in_rank_order(processes):
    expected = torch.cat([small_integers(rank, 2, 3, 5) for rank in range(processes.size)], dim=-1)
    assert all(torch.equal(found, expected) for found in processes.run(gathered_last))


def test_alone_they_do_nothing():
    x = torch.randn(2, 3, 4)
    assert all(function(x, TensorAxis()) is x for function in (gather_sequence, scatter_sequence, gather_last))
