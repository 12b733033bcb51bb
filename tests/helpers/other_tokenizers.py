"""Hugging Face folders with tokenizers as other people's models have them, small enough to be trained in a second."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from small_tokenizer import texts
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers


def open_calm(folder: Path) -> Path:
    """Byte-level BPE in the manner of GPT-NeoX and OpenCALM: one token begins and ends documents; lossless."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    _train(
        backend,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<|endoftext|>", "<|padding|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    separator = "<|endoftext|>"
    return write(
        folder,
        backend,
        tokenizer_class="GPTNeoXTokenizerFast",
        bos_token=separator,
        eos_token=separator,
        unk_token=separator,
        pad_token="<|padding|>",
        clean_up_tokenization_spaces=False,
    )


def llama(folder: Path) -> Path:
    """BPE with byte fallback and a space in front of the text, in the manner of LLaMA 2; lossless, no pad."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))],
        initial_alphabet=list("</s>unk"),
        show_progress=False,
    )
    lines = [line for text in texts(80) for line in text.split("。")]
    backend.train_from_iterator(lines, trainer)
    # Pieces for the bytes stand in the vocabulary and not among the added tokens. As in the vocabulary of LLaMA, <s> is
    # also what merges would make of its characters.
    definition = json.loads(backend.to_str())
    definition["added_tokens"] = [token for token in definition["added_tokens"] if token["content"] in special]
    vocabulary = definition["model"]["vocab"]
    for left, right in (("<", "s"), ("<s", ">")):
        vocabulary.setdefault(left + right, len(vocabulary))
        definition["model"]["merges"].append([left, right])
    backend = Tokenizer.from_str(json.dumps(definition))
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return write(
        folder,
        backend,
        tokenizer_class="LlamaTokenizerFast",
        legacy=False,
        bos_token={"__type": "AddedToken", "content": "<s>"}
        | dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False),
        eos_token="</s>",
        unk_token="<unk>",
        pad_token=None,
    )


def rinna(folder: Path) -> Path:
    """Unigram with NFKC and without line feeds, in the manner of rinna's GPTs: text does not come back as it was."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    _train(
        backend,
        trainers.UnigramTrainer(
            vocab_size=500, special_tokens=["<unk>", "<s>", "</s>", "[PAD]"], unk_token="<unk>", show_progress=False
        ),
    )
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "[PAD]"}
    return write(folder, backend, tokenizer_class="PreTrainedTokenizerFast", **special)


FAMILIES: Mapping[str, Callable[[Path], Path]] = {"open_calm": open_calm, "llama": llama, "rinna": rinna}


def write(folder: Path, backend: Any, **config: Any) -> Path:
    """A folder with tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def change(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file of a folder."""
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def _train(backend: Any, trainer: Any) -> None:
    backend.train_from_iterator(texts(80), trainer)
