import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from jp_llm.model.loss import summed_loss

TOKENS, HIDDEN, ROWS, VOCAB = 50, 16, 128, 100


def problem(dtype=torch.float32, batch=(5, 10)):
    hidden = torch.randn(*batch, HIDDEN, dtype=dtype).requires_grad_()
    weight = torch.randn(ROWS, HIDDEN, dtype=dtype).requires_grad_()
    return hidden, weight, torch.randint(VOCAB, batch)


def plain(hidden, weight, targets, logit_scale=1.0, z_loss=0.0):
    """Cross entropy and z-loss from whole logits, by torch."""
    logits = (logit_scale * hidden @ weight[:VOCAB].T).flatten(0, -2)
    targets = targets.flatten()
    log_z = logits.logsumexp(-1)[targets != -100]
    return F.cross_entropy(logits, targets, reduction="sum"), z_loss * log_z.square().sum()


def gradients(sums, hidden, weight, scale=1.0):
    hidden.grad = weight.grad = None
    (scale * (sums[0] + sums[1])).backward()
    return hidden.grad.clone(), weight.grad.clone()


@pytest.mark.parametrize("z_loss", [0.0, 0.02])
@pytest.mark.parametrize("logit_scale", [1.0, 0.3])
@pytest.mark.parametrize("chunk_tokens", [1, 7, 25, 50, 1000])
def test_losses_and_gradients_equal_plain_cross_entropy(chunk_tokens, logit_scale, z_loss):
    hidden, weight, targets = problem()
    expected = plain(hidden, weight, targets, logit_scale, z_loss)
    expected_gradients = gradients(expected, hidden, weight, scale=0.25)
    found = summed_loss(
        hidden, weight, targets, vocab_size=VOCAB, logit_scale=logit_scale, z_loss=z_loss, chunk_tokens=chunk_tokens
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for name, one, two in zip(
        ("hidden", "weight"), gradients(found, hidden, weight, 0.25), expected_gradients, strict=True
    ):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5 * two.abs().max().item(), msg=name)


def test_gradcheck_in_double():
    hidden, weight, targets = problem(torch.float64, (6,))
    targets[2] = -100

    def total(hidden, weight):
        return sum(summed_loss(hidden, weight, targets, vocab_size=VOCAB, logit_scale=0.3, z_loss=0.1, chunk_tokens=4))

    assert torch.autograd.gradcheck(total, (hidden, weight), check_undefined_grad=False)


@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_ignored_targets_do_not_count(z_loss):
    hidden, weight, targets = problem()
    targets[1, 3:] = -100
    targets[4] = -100
    expected = plain(hidden, weight, targets, z_loss=z_loss)
    expected_gradients = gradients(expected, hidden, weight)
    found = summed_loss(hidden, weight, targets, vocab_size=VOCAB, z_loss=z_loss, chunk_tokens=8)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found_gradients = gradients(found, hidden, weight)
    torch.testing.assert_close(found_gradients, expected_gradients, rtol=1e-4, atol=1e-5)
    assert not found_gradients[0][4].any()


def test_nothing_to_predict_costs_nothing():
    hidden, weight, targets = problem()
    found = summed_loss(hidden, weight, torch.full_like(targets, -100), vocab_size=VOCAB, z_loss=0.1)
    assert [value.item() for value in found] == [0.0, 0.0]
    assert not any(gradient.any() for gradient in gradients(found, hidden, weight))


def test_padding_rows_change_nothing_and_get_no_gradient():
    hidden, weight, targets = problem()
    found = summed_loss(hidden, weight, targets, vocab_size=VOCAB, z_loss=0.1)
    _, weight_gradient = gradients(found, hidden, weight)
    assert not weight_gradient[VOCAB:].any()
    assert weight_gradient[:VOCAB].any(dim=1).all()
    with torch.no_grad():
        weight[VOCAB:] = 1000.0
    again = summed_loss(hidden, weight, targets, vocab_size=VOCAB, z_loss=0.1)
    assert [one.item() for one in found] == [two.item() for two in again]


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_only_one_side_needs_a_gradient(frozen):
    hidden, weight, targets = problem()
    expected = gradients(plain(hidden, weight, targets), hidden, weight)
    hidden.grad = weight.grad = None
    (hidden if frozen == "hidden" else weight).requires_grad_(False)
    summed_loss(hidden, weight, targets, vocab_size=VOCAB, chunk_tokens=8)[0].backward()
    if frozen == "hidden":
        assert hidden.grad is None
        torch.testing.assert_close(weight.grad, expected[1], rtol=1e-5, atol=1e-4)
    else:
        assert weight.grad is None
        torch.testing.assert_close(hidden.grad, expected[0], rtol=1e-5, atol=1e-5)


def test_the_two_sums_are_differentiated_together():
    hidden, weight, targets = problem()
    loss_sum, z_loss_sum = summed_loss(hidden, weight, targets, vocab_size=VOCAB, z_loss=0.1)
    with pytest.raises(RuntimeError, match=r"differentiate loss_sum \+ z_loss_sum"):
        loss_sum.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiate loss_sum \+ z_loss_sum"):
        z_loss_sum.backward()


def test_a_second_backward_gives_the_same():
    hidden, weight, targets = problem()
    loss_sum, _ = summed_loss(hidden, weight, targets, vocab_size=VOCAB)
    loss_sum.backward(retain_graph=True)
    first = weight.grad.clone()
    weight.grad = None
    loss_sum.backward()
    assert torch.equal(weight.grad, first)


def test_bfloat16_inputs_are_summed_in_float32():
    hidden, weight, targets = problem(torch.bfloat16, (64, 64))
    exact = plain(hidden.detach().float(), weight.detach().float(), targets, 0.5, 0.01)
    expected_gradients = gradients(plain(hidden.float(), weight.float(), targets, 0.5, 0.01), hidden, weight)
    found = summed_loss(hidden, weight, targets, vocab_size=VOCAB, logit_scale=0.5, z_loss=0.01, chunk_tokens=16)
    assert [value.dtype for value in found] == [torch.float32, torch.float32]
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=0)
    for one, two in zip(gradients(found, hidden, weight), expected_gradients, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one - two).norm() < 0.01 * two.norm()


class _Largest(TorchDispatchMode):
    """The largest tensor that any operator returned, and the operators."""

    def __init__(self):
        super().__init__()
        self.numel, self.names = 0, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.names.append(function.name())
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, torch.Tensor):
                self.numel = max(self.numel, value.numel())
        return result


def test_the_logits_of_the_batch_never_exist():
    hidden, weight, targets = problem(batch=(40, 50))
    with _Largest() as seen:
        summed_loss(hidden, weight, targets, vocab_size=VOCAB, z_loss=0.1, chunk_tokens=64)[0]
    limit = max(64 * ROWS, hidden.numel(), weight.numel())
    assert seen.numel == limit < targets.numel() * ROWS
    with _Largest() as seen:
        plain(hidden, weight, targets)
    assert seen.numel == targets.numel() * VOCAB


def test_without_gradients_only_the_losses_are_computed():
    hidden, weight, targets = problem()
    with torch.no_grad(), _Largest() as seen:
        found = summed_loss(hidden, weight, targets, vocab_size=VOCAB, z_loss=0.1, chunk_tokens=25)
    products = [name for name in seen.names if name in ("aten::mm.out", "aten::mm", "aten::addmm_")]
    assert len(products) == 2  # one per chunk
    assert not any(value.requires_grad for value in found)
    torch.testing.assert_close(found, plain(hidden, weight, targets, z_loss=0.1), rtol=1e-5, atol=1e-5)
