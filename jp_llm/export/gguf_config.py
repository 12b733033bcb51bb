"""What `launch/export_gguf.py` reads (`configs/export_gguf.yaml`). Loads no torch."""

from typing import Literal

from jp_llm.config.section import Section

GGUF_DTYPES = ("f32", "f16", "bf16", "q8_0")


class ExportGGUFConfig(Section):
    """From a model to one .gguf file for llama.cpp and what is built on it (Ollama, LM Studio)."""

    model: str = ""
    """A Hugging Face folder of launch/export_hf.py, a run folder (its newest checkpoint), or one step_N folder."""
    output: str = ""
    """File to write, e.g. models/first.gguf; a Modelfile for Ollama is written beside it."""
    overwrite: bool = False
    """Replace a file that is already there."""
    dtype: Literal["f32", "f16", "bf16", "q8_0"] = "f16"
    """Type of the matrices. q8_0 rounds blocks of 32 numbers to 8 bits (matrices whose rows are no multiple of 32
    become f16); vectors (norms, biases) stay f32 in all."""
    unknown_characters: Literal["refuse", "unk"] = "refuse"
    """llama.cpp has no byte fallback for unigram tokenizers: characters outside of the vocabulary become <unk> there.
    refuse writes no file for such a tokenizer, unk accepts the loss. BPE tokenizers lose nothing."""

    def problems(self) -> list[str]:
        found = []
        if not self.model:
            found.append("model: name a Hugging Face folder or a run folder, e.g. model=models/first")
        if not self.output:
            found.append("output: name the file to write, e.g. output=models/first.gguf")
        elif not self.output.endswith(".gguf"):
            found.append(f"output: {self.output} must end with .gguf; llama.cpp and Ollama know the file by that")
        return found
