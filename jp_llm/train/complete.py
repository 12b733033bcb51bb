"""Completions of the prompts by the model in training."""

from typing import Any

from jp_llm.engine.engine import Engine
from jp_llm.model.sampling import complete
from jp_llm.texts.repetition import Repetition
from jp_llm.tokenizer.tokenizer import Tokenizer


def completions(engine: Engine, tokenizer: Tokenizer, step: int) -> tuple[list[dict[str, Any]], list[Repetition]]:
    """One record per prompt, and how much each completion repeats itself; every process calls this together and gets
    the same."""
    config = engine.config
    prompts = [[tokenizer.start_id, *tokenizer.encode(prompt)] for prompt in config.train.sample_prompts]
    if not prompts:
        return [], []
    found = complete(
        # A model that was trained elsewhere may have more rows than its tokenizer has tokens.
        lambda tokens, positions: engine.next_token_logits(tokens, positions)[:, : tokenizer.vocab_size],
        prompts,
        num_tokens=config.train.sample_tokens,
        eos_id=-1 if tokenizer.eos_id is None else tokenizer.eos_id,  # -1 is never drawn
        max_length=config.model.max_position_embeddings,
        temperature=config.train.sample_temperature,
        top_p=config.train.sample_top_p,
        seed=config.seed + step,
        device=engine.zero.device,
    )
    repetitions = [Repetition.of(ids) for ids in found]
    records = [
        {
            "kind": "sample",
            "step": step,
            "prompt": prompt,
            "completion": tokenizer.decode(ids),
            "repeated_4grams": repetition.repeated_4grams,
            "repeats": repetition.repeats,
        }
        for prompt, ids, repetition in zip(config.train.sample_prompts, found, repetitions, strict=True)
    ]
    return records, repetitions
