"""What `launch/evaluate*.py` read (`configs/evaluate*.yaml`). Loads no torch."""

from typing import Literal

from pydantic import Field, PositiveInt

from jp_llm.config.section import OneOrSeveral, Section
from jp_llm.generate.config import SamplingConfig

JGLUE_TASKS = ("jcommonsenseqa", "jnli", "jsquad")
"""Read from local files; any other name is one of the harness's own tasks, which it downloads."""


class ClozeConfig(Section):
    """Multiple choice made from held-out documents: which of some sentences comes next?"""

    items: int = Field(default=0, ge=0)
    """Questions per source, at most 8 of one document; 0 makes none."""
    choices: int = Field(default=4, ge=2)
    """Sentences to choose from: the true one, and others of similar length from other documents of the same source."""
    context_characters: PositiveInt = 200
    """At most so much of the text before the sentence is shown."""


class ModelSection(Section):
    """What every measurement of a model has."""

    model: str = ""
    """A Hugging Face folder, a run folder (its newest checkpoint), or one step_N folder."""
    output: str | None = None
    """JSON file for the results, with hashes of model, tokenizer and data; null only prints the table."""
    model_card: bool = True
    """Also put the table into README.md of a Hugging Face folder, in place of the one of the last time."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """auto takes a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto computes in bf16 on a GPU and in fp32 on a CPU."""

    def problems(self) -> list[str]:
        if not self.model:
            return ["model: name a Hugging Face folder or a run folder, e.g. model=runs/first"]
        return []


class EvaluateConfig(ModelSection):
    """Perplexity, bits per character and bits per byte of a model on text, and cloze items made from it."""

    data: OneOrSeveral = ()
    """Dataset folders (their held-out documents), .txt files (one document each), or .jsonl, .jsonl.gz and .jsonl.zst
    files (a "text" per line, and a "source" if there is one)."""
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
    cloze: ClozeConfig = ClozeConfig()

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.data:
            found.append("data: name a dataset folder or text files, e.g. data=[corpora/demo]")
        if self.context_tokens and self.stride_tokens and self.stride_tokens > self.context_tokens:
            found.append(f"stride_tokens: {self.stride_tokens} is more than context_tokens {self.context_tokens}")
        return found


class EvaluateSamplesConfig(ModelSection, SamplingConfig):
    """Repetition, variety, ends and copies in texts that a model writes or has written."""

    samples: str | None = None
    """JSON Lines file of launch/generate.py; null lets the model write now, as the other keys say."""
    prompts: OneOrSeveral = ()
    """Beginnings of the texts; without any, the model begins documents by itself."""
    num_return_sequences: PositiveInt = 100
    """Texts per prompt."""
    batch_size: PositiveInt = 8
    """Texts that are generated at the same time."""
    near_copies: str | None = None
    """Index folder of launch/index_near_copies.py; with it the share of copies of the training text is measured."""

    def problems(self) -> list[str]:
        found = ModelSection.problems(self) + SamplingConfig.problems(self)
        if self.samples is not None:
            of_texts = {*SamplingConfig.model_fields, "prompts", "batch_size"}
            found += [
                f"{key}: the texts of `samples` are measured as they are; leave one of the two out"
                for key in type(self).model_fields
                if key in of_texts & self.model_fields_set
            ]
        return found


class EvaluateTasksConfig(ModelSection):
    """Japanese tasks through lm-evaluation-harness (pip install 'jp-llm[tasks]')."""

    tasks: OneOrSeveral = JGLUE_TASKS
    """jcommonsenseqa, jnli and jsquad read local files. Other names (say, japanese_leaderboard) are the harness's own
    tasks and groups, which download their data."""
    jglue: str | None = None
    """Folder with the validation sets of JGLUE: <task>-valid.json, or the folder `datasets` of its repository."""
    prompt_version: Literal["0.2", "0.3"] = "0.2"
    """Prompts for local files, numbered as in Stability AI's jp-stable harness: 0.2 for models that only continue text
    (0.2.1 of jcommonsenseqa), 0.3 (Alpaca) for models that follow instructions."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Solved examples before every question, taken from the validation set and left out of what is scored; null takes
    those of the Japanese leaderboard: 3, of jsquad 2 (and what the harness's own tasks say)."""
    limit: PositiveInt | None = None
    """At most this many questions of each task; of local files, which ones follows from their content."""
    max_answer_tokens: PositiveInt = 48
    """Most tokens of a written answer (jsquad)."""
    batch_size: PositiveInt = 8
    """Questions at a time."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.tasks:
            found.append(f"tasks: name some, e.g. tasks=[{','.join(JGLUE_TASKS)}]")
        if self.jglue is None and any(name in JGLUE_TASKS for name in self.tasks):
            found.append("jglue: name the folder with the validation sets of JGLUE, e.g. jglue=data/jglue")
        return found
