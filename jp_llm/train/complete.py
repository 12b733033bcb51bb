"""Completions of the prompts by the model in training."""

from typing import Any

from jp_llm.engine.engine import Engine
from jp_llm.model.sampling import complete
from jp_llm.tokenizer.tokenizer import Tokenizer


def completions(engine: Engine, tokenizer: Tokenizer, step: int) -> list[dict[str, Any]]:
    """One record per prompt; every process calls this together and gets the same."""
    config = engine.config
    prompts = [[tokenizer.bos_id, *tokenizer.encode(prompt)] for prompt in config.train.sample_prompts]
    if not prompts:
        return []
    found = complete(
        engine.next_token_logits,
        prompts,
        num_tokens=config.train.sample_tokens,
        eos_id=tokenizer.eos_id,
        max_length=config.model.max_position_embeddings,
        temperature=config.train.sample_temperature,
        top_p=config.train.sample_top_p,
        seed=config.seed + step,
        device=engine.zero.device,
    )
    return [
        {"kind": "sample", "step": step, "prompt": prompt, "completion": tokenizer.decode(ids)}
        for prompt, ids in zip(config.train.sample_prompts, found, strict=True)
    ]
