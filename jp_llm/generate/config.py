"""What `launch/generate.py` reads (`configs/generate.yaml`). Loads no torch."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from jp_llm.config.section import OneOrSeveral, Section
from jp_llm.export.config import SAMPLING_TEMPERATURE, SAMPLING_TOP_P


class SamplingConfig(Section):
    """How the next token is chosen; the words are those of transformers."""

    max_new_tokens: PositiveInt = 128
    """Most tokens after the prompt."""
    min_new_tokens: int = Field(default=0, ge=0)
    """A text does not end before it has this many tokens after the prompt."""
    max_length: PositiveInt | None = None
    """Most tokens with the prompt (and its <s>), as `max_length` of transformers; takes the place of max_new_tokens."""
    min_length: int = Field(default=0, ge=0)
    """A text does not end before it has this many tokens with the prompt."""
    stop: OneOrSeveral = ()
    """A text ends before the first of these strings, e.g. a newline (written \\n), also below a minimum of tokens,
    which forbids the end of the document only; the prompt may hold them."""
    do_sample: bool = True
    """Draw tokens; false takes the likeliest one every time."""
    temperature: PositiveFloat = SAMPLING_TEMPERATURE
    """Logits are divided by this before drawing."""
    top_k: int = Field(default=0, ge=0)
    """Draw from this many likeliest tokens; 0 from all."""
    top_p: float = Field(default=SAMPLING_TOP_P, gt=0, le=1)
    """Draw from the smallest set of likeliest tokens with this probability together (Holtzman et al. 2020)."""
    min_p: float = Field(default=0.0, ge=0, lt=1)
    """Draw from tokens at least this many times as likely as the likeliest (Nguyen et al. 2024); 0 from all."""
    typical_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the tokens whose surprise is nearest to the expected one, with this probability together (Meister et
    al. 2022); 1 from all."""
    repetition_penalty: PositiveFloat = 1.0
    """Logits of tokens that occurred are divided (if positive) or multiplied by this (CTRL, Keskar et al. 2019, section
    4.1); the prompt counts too."""
    repetition_window: int = Field(default=0, ge=0)
    """repetition_penalty looks at this many last tokens only, so that a long text may go on using its particles and
    full stops; 0 looks at all."""
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    """No sequence of this many tokens (2 or more) occurs twice; 0 allows it."""
    num_return_sequences: PositiveInt = 1
    """Texts per prompt."""
    seed: int = 1234
    """Decides what is drawn, for each text apart: neither batch_size nor the other prompts change it."""

    @field_validator("stop")
    @classmethod
    def _with_newlines(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        """A command line hands them on as backslash and letter."""
        return tuple(text.replace("\\n", "\n").replace("\\t", "\t") for text in stop)

    def problems(self) -> list[str]:
        found = []
        if self.max_length is None and self.min_new_tokens > self.max_new_tokens:
            found.append(f"min_new_tokens: {self.min_new_tokens} is more than max_new_tokens {self.max_new_tokens}")
        if self.max_length is not None and max(self.min_length, self.min_new_tokens) > self.max_length:
            key = "min_length" if self.min_length > self.max_length else "min_new_tokens"
            found.append(f"{key}: {getattr(self, key)} is more than max_length {self.max_length}")
        if self.repetition_window and self.repetition_penalty == 1.0:
            found.append("repetition_window: does nothing without a repetition_penalty, e.g. repetition_penalty=1.2")
        if self.no_repeat_ngram_size == 1:
            found.append("no_repeat_ngram_size: 1 would let no token, no full stop either, come twice; take 2 or more")
        if "" in self.stop:
            found.append("stop: an empty string would end every text at once; leave it out")
        if not self.do_sample and self.num_return_sequences > 1:
            found.append("num_return_sequences: texts of one prompt are all the same without do_sample=true")
        return found


class GenerateConfig(SamplingConfig):
    """Prompts in, texts out."""

    model: str = ""
    """A Hugging Face folder, a run folder (its newest checkpoint), or one step_N folder."""
    prompts: OneOrSeveral = ()
    """Beginnings of texts; without any (and without prompts_file) the model begins a document by itself."""
    prompts_file: str | None = None
    """More prompts: a .jsonl file with {"prompt": ...} per line, or plain text with one prompt per line (an empty line
    is a prompt without text)."""
    output: str | None = None
    """JSON Lines file to write (prompt, text, tokens, seed, settings per line); null prints the texts. The same command
    continues a file that is not complete."""
    overwrite: bool = False
    """Replace an output file that another model or other settings made."""
    batch_size: PositiveInt = 64
    """Texts that are generated at the same time; more need more memory and, on a GPU, hardly more time."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """auto takes a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto computes in bf16 on a GPU and in fp32 on a CPU."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.model:
            found.append("model: name a Hugging Face folder or a run folder, e.g. model=runs/first")
        return found
