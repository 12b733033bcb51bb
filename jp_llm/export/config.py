"""What `launch/export_hf.py` reads (`configs/export.yaml`). Loads no torch."""

from typing import Literal

from pydantic import PositiveInt

from jp_llm.config.section import OneOrSeveral, Section

SAMPLING_TEMPERATURE = 0.8
SAMPLING_TOP_P = 0.95
"""Sampling where nothing else is asked for: generation_config.json of an export, and `launch/generate.py`."""


class ExportConfig(Section):
    """From a checkpoint to a Hugging Face folder."""

    checkpoint: str = ""
    """A run folder (its newest checkpoint), or one step_N folder."""
    output_dir: str = ""
    """Folder to write; it appears when everything in it has been verified."""
    overwrite: bool = False
    """Replace a Hugging Face model that is already in output_dir."""
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Data type of the weights; training keeps fp32, the others round them once and halve the files. What was imported
    comes back bit for bit in the type that it had."""
    max_shard_bytes: PositiveInt = 5_000_000_000
    """Largest weight file; a larger model is divided into several, with an index."""
    verify: Literal["full", "structure"] = "full"
    """structure reloads the folder with transformers and compares configuration, names, shapes, every stored number and
    the tokenizer, one tensor at a time. full also compares the logits of transformers with ours; it needs RAM for the
    weights in fp32 (4 bytes per parameter)."""
    model_name: str | None = None
    """Title of the model card; null takes the name of output_dir."""
    license: str | None = None
    """Licence of the weights as the Hugging Face hub writes it, e.g. apache-2.0 or cc-by-sa-4.0; null takes that of the
    imported model that the training began with, or else `other`."""
    license_file: str | None = None
    """Text that is copied into the folder as LICENSE."""
    datasets: OneOrSeveral = ()
    """Names of the training corpora for the front matter of the model card."""

    def problems(self) -> list[str]:
        found = []
        if not self.checkpoint:
            found.append("checkpoint: name a run folder or a checkpoint, e.g. checkpoint=runs/first")
        if not self.output_dir:
            found.append("output_dir: name the folder to write, e.g. output_dir=models/first")
        return found
