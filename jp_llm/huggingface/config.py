"""What `launch/import_hf.py` reads (`configs/import.yaml`). Loads no torch."""

from typing import Literal

from jp_llm.config.section import Section


class ImportConfig(Section):
    """From a Hugging Face folder to a checkpoint."""

    model: str = ""
    """Hugging Face folder with config.json, safetensors and the tokenizer."""
    output_dir: str = ""
    """Folder to write, in the form of a run folder; it appears when everything in it has been verified."""
    name: str | None = None
    """Name of the model on the hub, e.g. rinna/japanese-gpt-1b, for later model cards (base_model); null takes the name
    of the folder."""
    license: str | None = None
    """Licence of the weights, for later model cards; null takes it from the front matter of the model's README.md."""
    lower_case: bool | None = None
    """Of a folder with only a SentencePiece model: whether text is put into lower case before it is encoded. null does
    what do_lower_case in tokenizer_config.json says; set true where the publisher does so in a program
    (tokenizer.do_lower_case = True)."""
    verify: Literal["full", "structure"] = "full"
    """structure reads the checkpoint back and compares configuration, names, shapes and every number, one tensor at a
    time. full also compares the logits of transformers with ours; it needs RAM for the weights in fp32 (4 bytes per
    parameter)."""

    def problems(self) -> list[str]:
        found = []
        if not self.model:
            found.append("model: name a Hugging Face folder, e.g. model=downloads/japanese-gpt-1b")
        if not self.output_dir:
            found.append("output_dir: name the folder to write, e.g. output_dir=models/japanese-gpt-1b-imported")
        return found
