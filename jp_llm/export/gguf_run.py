"""`launch/export_gguf.py`: a model in, one verified .gguf file and a Modelfile out."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jp_llm.export.config import SAMPLING_TEMPERATURE, SAMPLING_TOP_P
from jp_llm.export.gguf_config import ExportGGUFConfig
from jp_llm.export.gguf_model import GGUFModel
from jp_llm.export.gguf_tokenizer import load_gguf_tokenizer, write_gguf_tokenizer
from jp_llm.export.inference import huggingface_folder
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, fsync_directory, sha256_of
from jp_llm.tokenizer.tokenizer import Tokenizer

_FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
_Q8_0_ERROR = 0.5 / 127 + 2**-11
"""Largest rounding error of q8_0 as a share of the largest number of its block: half a step of 1/127, and the rounding
of the step itself to half precision."""
_Q8_0_SMALLEST = 127 * 2**-25
"""That rounding where a step is so small (below 6e-5) that half precision has its last bits only."""


def run(config: ExportGGUFConfig) -> None:
    """Export as configured and print what was compared."""
    target = Path(config.output).expanduser().absolute()
    modelfile = target.with_suffix(".Modelfile")
    for path in (target, modelfile):
        if path.exists() and not config.overwrite:
            raise UserError(f"{path}: exists; set overwrite=true to replace it, or choose another output")
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise UserError(f"GGUF files need the package gguf: pip install 'jp-llm[gguf]' ({error})") from None
    folder = huggingface_folder(Path(config.model))
    model = GGUFModel.open(folder)
    tokenizer = load_gguf_tokenizer(folder, config.unknown_characters)
    if model.config.vocab_size != tokenizer.vocab_size:
        raise UserError(
            f"{folder}: the model has {model.config.vocab_size} token ids, the tokenizer {tokenizer.vocab_size}; "
            "llama.cpp wants as many of both"
        )
    count, worst = export_gguf(model, tokenizer, target, config.dtype)
    with atomic_writer(modelfile) as file:
        file.write(_modelfile(target, model, tokenizer).encode())
    exact = "every number as in the model" if worst is None else f"rounded by at most {worst:.2%} of a block's largest"
    print(f"{target}: {count} tensors as {config.dtype}, {exact}; sha256 {sha256_of(target)}")
    print(f"for Ollama: ollama create {shlex.quote(target.stem)} -f {shlex.quote(str(modelfile))}")


def export_gguf(model: GGUFModel, tokenizer: Tokenizer, target: Path, dtype: str) -> tuple[int, float | None]:
    """Write the file, read it again and compare every number; it appears when it is right.

    Memory is one tensor.

    Returns:
        The number of tensors, and for q8_0 the largest error as a share of the largest number of a block.

    Raises:
        UserError: the file differs from the model, or cannot be written.
    """
    import gguf

    with _new_file(target) as temporary:
        writer = gguf.GGUFWriter(temporary, model.architecture)
        try:
            writer.add_name(target.stem)
            writer.add_file_type(gguf.LlamaFileType[_FILE_TYPES[dtype]])
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            model.write_metadata(writer)
            write_gguf_tokenizer(writer, tokenizer)
            kinds = {name: _kind(name, shape, dtype) for name, shape in model.shapes()}
            for name, shape in model.shapes():
                block, size = gguf.GGML_QUANT_SIZES[kinds[name]]
                nbytes = int(np.prod(shape)) // block * size
                writer.add_tensor_info(name, shape, np.dtype(np.float32), nbytes, raw_dtype=kinds[name])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for name, key in model.names().items():
                writer.write_tensor_data(gguf.quants.quantize(model.read(key).numpy(), kinds[name]))
        finally:
            writer.close()
        return _compare(temporary, model, kinds)


def _kind(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """ggml's type of a tensor; as its own converter does, vectors and learned positions stay in float32."""
    import gguf

    kinds = gguf.GGMLQuantizationType
    if len(shape) < 2 or name.startswith("position_embd"):
        return kinds.F32
    kind = kinds[dtype.upper()]
    # Rows that blocks of 32 do not fill.
    return kinds.F16 if shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] else kind


def _compare(path: Path, model: GGUFModel, kinds: dict[str, Any]) -> tuple[int, float | None]:
    """Every tensor of the file against the model, read one at a time."""
    import gguf

    names = model.names()
    tensors = gguf.GGUFReader(path).tensors
    if [tensor.name for tensor in tensors] != list(names):
        raise UserError(f"{path}: holds other tensors than were written; please report this")
    worst = None
    for tensor in tensors:
        whole: NDArray[np.float32] = model.read(names[tensor.name]).numpy()
        found = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(whole.shape)
        if kinds[tensor.name] == gguf.GGMLQuantizationType.Q8_0:
            blocks = whole.reshape(-1, gguf.GGML_QUANT_SIZES[tensor.tensor_type][0])
            largest = np.abs(blocks).max(1)
            error = np.abs(found.reshape(blocks.shape) - blocks).max(1)
            worst = max(worst or 0.0, float((error / np.maximum(largest, 1e-30)).max()))
            same = bool((error <= _Q8_0_ERROR * largest + _Q8_0_SMALLEST).all())
        else:
            same = np.array_equal(found, _rounded(whole, kinds[tensor.name]))
        if not same:
            raise UserError(f"{path}: {tensor.name} does not hold {names[tensor.name]}; please report this")
    return len(tensors), worst


def _rounded(whole: NDArray[np.float32], kind: Any) -> NDArray[np.float32]:
    """What a file of this type can hold of the numbers, computed without the package that wrote it."""
    import torch

    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[kind.name]
    rounded: NDArray[np.float32] = torch.from_numpy(whole).to(dtype).float().numpy()
    return rounded


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """A temporary file beside `target` that takes its name at the end, and is deleted after any error."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
        fsync_directory(target.parent)
    except OSError as error:
        raise UserError(f"{target}: could not be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _modelfile(target: Path, model: GGUFModel, tokenizer: Tokenizer) -> str:
    """For a base model: the prompt as it is, and our sampling instead of Ollama's defaults (top_k 40, penalty 1.1)."""
    assert tokenizer.eos_id is not None  # a tokenizer of ours
    return (
        f"FROM ./{target.name}\n"
        'TEMPLATE """{{ .Prompt }}"""\n'
        f"PARAMETER stop {tokenizer.pieces()[tokenizer.eos_id].text}\n"
        f"PARAMETER num_ctx {model.config.max_position_embeddings}\n"
        f"PARAMETER temperature {SAMPLING_TEMPERATURE}\n"
        f"PARAMETER top_p {SAMPLING_TOP_P}\n"
        "PARAMETER top_k 0\n"
        "PARAMETER repeat_penalty 1.0\n"
    )
