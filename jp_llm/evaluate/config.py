"""What `launch/evaluate.py` reads (`configs/evaluate.yaml`). Loads no torch."""

from typing import Literal

from pydantic import PositiveInt

from jp_llm.config.section import Section
from jp_llm.export.config import OneOrSeveral


class EvaluateConfig(Section):
    """Perplexity, bits per character and bits per byte of a model on text."""

    model: str = ""
    """A Hugging Face folder, a run folder (its newest checkpoint), or one step_N folder."""
    data: OneOrSeveral = ()
    """Dataset folders (their held-out documents), .txt files (one document each), or .jsonl, .jsonl.gz and .jsonl.zst
    files (a "text" per line, and a "source" if there is one)."""
    output: str | None = None
    """JSON file for the results, with hashes of model, tokenizer and data; null only prints the table."""
    max_documents: PositiveInt | None = None
    """At most this many documents of each source; which ones follows from their content, not from their order."""
    max_characters: PositiveInt | None = None
    """At most this many characters of each source, chosen in the same way."""
    context_tokens: PositiveInt | None = None
    """Window in tokens; null takes the model's context."""
    stride_tokens: PositiveInt | None = None
    """Tokens by which the window moves on over a longer document, so that every token is predicted once, with at least
    context - stride tokens before it (except at the beginning); null takes half the context."""
    batch_tokens: PositiveInt = 4096
    """Tokens per forward pass; 4096 with 32,000 pieces need about 1 GB for the logits."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """auto takes a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto computes in bf16 on a GPU and in fp32 on a CPU."""

    def problems(self) -> list[str]:
        found = []
        if not self.model:
            found.append("model: name a Hugging Face folder or a run folder, e.g. model=runs/first")
        if not self.data:
            found.append("data: name a dataset folder or text files, e.g. data=[corpora/demo]")
        if self.context_tokens and self.stride_tokens and self.stride_tokens > self.context_tokens:
            found.append(f"stride_tokens: {self.stride_tokens} is more than context_tokens {self.context_tokens}")
        return found
