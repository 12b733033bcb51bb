import pytest
import torch

from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initialize
from jp_llm.model.sampling import complete, next_tokens

DEFAULTS = {"num_tokens": 8, "eos_id": 2, "max_length": 32, "temperature": 1.0, "top_p": 1.0, "seed": 0}


def constant(token, vocab_size=10):
    """Always the same next token; remembers its calls."""

    def step_logits(tokens, last):
        step_logits.calls.append((tokens.clone(), last.clone()))
        logits = torch.zeros(len(tokens), vocab_size)
        logits[:, token] = 100.0
        return logits

    step_logits.calls = []
    return step_logits


def step_logits_of(decoder):
    def step_logits(tokens, last):
        return decoder.logits(decoder(tokens)[torch.arange(len(tokens)), last])

    return step_logits


@pytest.fixture
def decoder(tiny):
    config = tiny("llama")
    decoder = Decoder(config)
    initialize(decoder, config, seed=1)
    return decoder


def test_every_step_is_one_call_of_one_shape_even_after_all_have_ended():
    step_logits = constant(2)
    assert complete(step_logits, [[5], [5, 6, 7]], **DEFAULTS) == [[], []]
    assert len(step_logits.calls) == 8
    assert {tokens.shape for tokens, _ in step_logits.calls} == {(2, 11)}


def test_rows_grow_behind_their_own_prompt():
    step_logits = constant(9)
    assert complete(step_logits, [[5], [5, 6, 7]], **DEFAULTS | {"num_tokens": 3}) == [[9, 9, 9], [9, 9, 9]]
    tokens, last = step_logits.calls[2]
    assert last.tolist() == [2, 4]
    assert tokens[0, :3].tolist() == [5, 9, 9]
    assert tokens[1, :5].tolist() == [5, 6, 7, 9, 9]


def test_a_completion_ends_before_eos_and_other_rows_go_on():
    def step_logits(tokens, last):
        logits = torch.zeros(2, 10)
        logits[0, 2 if last[0] == 3 else 4] = 100.0
        logits[1, 7] = 100.0
        return logits

    found = complete(step_logits, [[5, 6], [5]], **DEFAULTS | {"num_tokens": 5})
    assert found == [[4, 4], [7, 7, 7, 7, 7]]


def test_a_full_context_ends_a_completion():
    step_logits = constant(9)
    found = complete(step_logits, [[5] * 6, [5]], **DEFAULTS | {"max_length": 8, "num_tokens": 20})
    assert found == [[9] * 2, [9] * 7]
    assert len(step_logits.calls) == 20
    assert max(tokens.shape[1] for tokens, _ in step_logits.calls) == 8


@pytest.mark.parametrize("prompts", [[[]], [[5], []], [[5] * 32], []])
def test_prompts_that_cannot_be_continued_are_refused(prompts):
    with pytest.raises(ValueError, match="at least 1 and fewer than 32"):
        complete(constant(9), prompts, **DEFAULTS)


def test_greedy_completion_takes_the_likeliest_token_of_a_whole_pass(decoder):
    prompts = [[1, 40, 41], [1], [1, 50, 51, 52, 53]]
    found = complete(step_logits_of(decoder), prompts, **DEFAULTS | {"temperature": 0.0, "eos_id": -1})
    for prompt, completion in zip(prompts, found, strict=True):
        tokens = list(prompt)
        for _ in range(8):
            tokens.append(int(decoder.logits(decoder(torch.tensor([tokens])))[0, -1].argmax()))
        assert tokens == prompt + completion


def test_the_seed_decides_and_the_global_state_is_untouched(decoder):
    def run(seed):
        return complete(step_logits_of(decoder), [[1], [1]], **DEFAULTS | {"seed": seed, "eos_id": -1})

    state = torch.get_rng_state()
    first = run(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert run(1) == first
    assert run(2) != first
    assert first[0] != first[1]


def frequencies(logits, temperature, top_p):
    rows = torch.tensor(logits).expand(20000, -1)
    drawn = next_tokens(rows, temperature, top_p, torch.Generator().manual_seed(0))
    return (drawn.bincount(minlength=len(logits)) / len(rows)).tolist()


def test_draws_follow_the_softmax():
    probabilities = torch.tensor([0.1, 0.6, 0.3])
    assert frequencies(probabilities.log().tolist(), 1.0, 1.0) == pytest.approx([0.1, 0.6, 0.3], abs=0.02)
    sharper = (probabilities.square() / probabilities.square().sum()).tolist()
    assert frequencies(probabilities.log().tolist(), 0.5, 1.0) == pytest.approx(sharper, abs=0.02)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.55, [0, 1, 0]), (0.65, [0, 2 / 3, 1 / 3]), (0.95, [0.1, 0.6, 0.3]), (1e-9, [0, 1, 0])],
)
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(top_p, expected):
    logits = torch.tensor([0.1, 0.6, 0.3]).log().tolist()
    assert frequencies(logits, 1.0, top_p) == pytest.approx(expected, abs=0.02)
