"""The loss over a divided vocabulary against plain cross entropy from whole logits."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from jp_llm.model.loss import summed_loss, whole_logits
from jp_llm.parallel.tensor import TensorAxis

TOKENS, HIDDEN, ROWS, SCALE = 30, 16, 128, 0.5


def problem(vocab_size, dtype=torch.float64, size=1.0):
    generator = torch.Generator().manual_seed(3)
    hidden = size * torch.randn(TOKENS, HIDDEN, dtype=torch.float64, generator=generator)
    weight = torch.randn(ROWS, HIDDEN, dtype=torch.float64, generator=generator)
    targets = torch.randint(vocab_size, (TOKENS,), generator=generator)
    targets[::7] = -100
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), targets


def plain(vocab_size, z_loss, size=1.0):
    """Losses and gradients in double."""
    hidden, weight, targets = problem(vocab_size, size=size)
    logits = SCALE * hidden @ weight[:vocab_size].T
    loss = F.cross_entropy(logits, targets, reduction="sum")
    z_sum = z_loss * logits.logsumexp(-1)[targets != -100].square().sum()
    (0.25 * (loss + z_sum)).backward()
    return loss.item(), z_sum.item(), hidden.grad, weight.grad


class _Largest(TorchDispatchMode):
    """The largest tensor that any operator returned."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, torch.Tensor):
                self.numel = max(self.numel, value.numel())
        return result


def divided(vocab_size, z_loss, chunk_tokens, dtype, size):
    """Losses, summand of the hidden gradient, gradient of this rank's rows, largest tensor in the forward pass."""
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    axis = TensorAxis(rank, ranks, torch.distributed.group.WORLD)
    hidden, weight, targets = problem(vocab_size, dtype, size)
    rows = weight.detach().chunk(ranks)[rank].clone()
    # Whatever stands in the padding: never predicted.
    rows[max(vocab_size - rank * len(rows), 0) :] = 1000.0
    rows.requires_grad_()
    settings = {"axis": axis, "vocab_size": vocab_size, "logit_scale": SCALE, "z_loss": z_loss}
    with _Largest() as seen:
        loss, z_sum = summed_loss(hidden, rows, targets, chunk_tokens=chunk_tokens, **settings)
    with torch.no_grad():
        again = summed_loss(hidden, rows, targets, chunk_tokens=chunk_tokens, **settings)
    assert [value.item() for value in again] == [loss.item(), z_sum.item()]
    (0.25 * (loss + z_sum)).backward()
    return loss.item(), z_sum.item(), hidden.grad, rows.grad, seen.numel


def divided_logits(vocab_size):
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    axis = TensorAxis(rank, ranks, torch.distributed.group.WORLD)
    hidden, weight, _ = problem(vocab_size)
    with torch.no_grad():
        return whole_logits(
            hidden.view(5, 6, HIDDEN), weight.chunk(ranks)[rank], axis=axis, vocab_size=vocab_size, logit_scale=SCALE
        )


@pytest.fixture(params=[2, 4])
def processes(request, two_processes, four_processes):
    return {2: two_processes, 4: four_processes}[request.param]


@pytest.mark.distributed
@pytest.mark.parametrize("z_loss", [0.0, 0.02])
@pytest.mark.parametrize("vocab_size", [3, 64, 100, 128])
def test_losses_and_gradients_equal_plain_cross_entropy(processes, vocab_size, z_loss):
    loss, z_sum, hidden_grad, weight_grad = plain(vocab_size, z_loss)
    for chunk_tokens in (7, 1000):
        ranks = processes.run(divided, vocab_size, z_loss, chunk_tokens, torch.float64, 1.0)
        for rank in ranks:
            assert rank[:2] == pytest.approx((loss, z_sum), rel=1e-12)
        torch.testing.assert_close(sum(rank[2] for rank in ranks), hidden_grad, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(torch.cat([rank[3] for rank in ranks]), weight_grad, rtol=1e-9, atol=1e-12)


@pytest.mark.distributed
def test_large_logits_do_not_overflow(processes):
    loss, z_sum, hidden_grad, _ = plain(100, 1e-4, size=1e3)
    ranks = processes.run(divided, 100, 1e-4, 7, torch.float32, 1e3)
    assert ranks[0][:2] == pytest.approx((loss, z_sum), rel=1e-5)
    torch.testing.assert_close(
        sum(rank[2] for rank in ranks), hidden_grad.float(), rtol=1e-3, atol=1e-3 * hidden_grad.abs().max().item()
    )


@pytest.mark.distributed
def test_bfloat16_inputs_are_summed_in_float32(processes):
    loss, z_sum, hidden_grad, weight_grad = plain(100, 0.02)
    ranks = processes.run(divided, 100, 0.02, 7, torch.bfloat16, 1.0)
    assert ranks[0][:2] == pytest.approx((loss, z_sum), rel=3e-3)
    for found, exact in (
        (sum(rank[2].double() for rank in ranks), hidden_grad),
        (torch.cat([rank[3].double() for rank in ranks]), weight_grad),
    ):
        assert (found - exact).norm() < 0.02 * exact.norm()


@pytest.mark.distributed
def test_no_rank_holds_more_logits_than_its_rows_of_a_chunk(processes):
    for *_, largest in processes.run(divided, 100, 0.02, 20, torch.float32, 1.0):
        assert largest <= max(20 * ROWS // processes.size, TOKENS * HIDDEN, ROWS * HIDDEN // processes.size)


@pytest.mark.distributed
@pytest.mark.parametrize("vocab_size", [3, 100, 128])
def test_whole_logits_are_the_same_everywhere(processes, vocab_size):
    hidden, weight, _ = problem(vocab_size)
    expected = (SCALE * hidden @ weight[:vocab_size].T).view(5, 6, vocab_size).float()
    for found in processes.run(divided_logits, vocab_size):
        torch.testing.assert_close(found, expected.detach())
