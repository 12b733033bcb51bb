"""Every size with every architecture: the exact number of parameters, by three counts."""

import math
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.data import DataConfig
from jp_llm.config.model import ModelConfig
from jp_llm.config.optim import OptimConfig
from jp_llm.config.run import RunConfig
from jp_llm.config.train import TrainConfig
from jp_llm.model.decoder import Decoder

FOLDER = Path(__file__).parents[3] / "configs" / "model"
ARCHITECTURES = ("gpt2", "neox", "llama", "palm")
NUM_PARAMETERS = {  # with 32,000 token ids; columns as ARCHITECTURES
    "nano": (11_417_088, 19_543_552, 19_794_176, 11_994_368),
    "37m": (35_823_616, 51_683_328, 53_221_888, 38_800_896),
    "110m": (110_418_432, 134_208_000, 134_105_856, 124_856_064),
    "336m": (336_128_000, 367_847_424, 373_867_520, 388_260_864),
    "750m": (732_257_280, 778_263_552, 777_856_512, 848_991_744),
    "1.3b": (1_278_332_928, 1_339_674_624, 1_364_297_728, 1_487_456_256),
    "1.5b": (1_530_038_400, 1_577_961_600, 1_596_776_000, 1_783_886_400),
    "2.7b": (2_604_815_360, 2_681_492_480, 2_701_560_320, 3_031_124_480),
    "6.7b": (6_583_623_680, 6_706_307_072, 6_738_415_616, 7_680_954_368),
    "13b": (12_759_910_400, 12_913_264_640, 13_015_864_320, 14_896_542_720),
}
CASES = [
    pytest.param(size, arch, count, id=f"{size}-{arch}")
    for size, counts in NUM_PARAMETERS.items()
    for arch, count in zip(ARCHITECTURES, counts, strict=True)
]


def compose(size: str, arch: str) -> dict[str, dict]:
    result: dict[str, dict] = {}
    for path in (FOLDER / "size" / f"{size}.yaml", FOLDER / "arch" / f"{arch}.yaml"):
        text = path.read_text("utf-8")
        assert text.startswith("# @package _global_\n")
        for section, fields in yaml.safe_load(text).items():
            result.setdefault(section, {}).update(fields)
    result["model"]["vocab_size"] = 32000
    return result


def model_config(size: str, arch: str) -> ModelConfig:
    return ModelConfig.model_validate(compose(size, arch)["model"])


@pytest.mark.parametrize(("size", "arch", "count"), CASES)
def test_canonical_parameters(size, arch, count):
    assert sum(math.prod(shape) for shape in parameter_shapes(model_config(size, arch)).values()) == count


@pytest.mark.parametrize(("size", "arch", "count"), CASES)
def test_parameters_of_the_decoder(size, arch, count):
    with torch.device("meta"):
        decoder = Decoder(model_config(size, arch))
    assert sum(parameter.numel() for parameter in decoder.parameters()) == count


def transformers_model(transformers: ModuleType, config: ModelConfig) -> torch.nn.Module:
    if config.arch == "gpt2":
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=config.vocab_size,
                n_positions=config.max_position_embeddings,
                n_embd=config.hidden_size,
                n_layer=config.num_layers,
                n_head=config.num_attention_heads,
            )
        )
    fields = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.mlp_size,
        "max_position_embeddings": config.max_position_embeddings,
    }
    if config.arch == "neox":
        return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**fields))
    fields["num_key_value_heads"] = config.key_value_heads
    if config.arch == "llama":
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**fields))
    return transformers.CohereForCausalLM(transformers.CohereConfig(**fields))


@pytest.mark.parametrize(("size", "arch", "count"), CASES)
def test_parameters_of_the_transformers_class(size, arch, count):
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = transformers_model(transformers, model_config(size, arch))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(("size", "arch", "count"), CASES)
def test_the_sections_are_accepted(size, arch, count):
    sections = compose(size, arch)
    assert sections.keys() == {"model", "optim", "train"}
    model = ModelConfig.model_validate(sections["model"])
    assert (model.size, model.arch) == (size, arch)
    run = RunConfig(
        model=model,
        optim=OptimConfig.model_validate(sections["optim"]),
        train=TrainConfig.model_validate(sections["train"]),
        data=DataConfig(path="unused"),
    )
    assert model.problems() + run.problems() + run.batch_problems(8 if size != "nano" else 1) == []


def test_every_file_is_pinned():
    assert {path.stem for path in (FOLDER / "size").glob("*.yaml")} == set(NUM_PARAMETERS)
    assert {path.stem for path in (FOLDER / "arch").glob("*.yaml")} == set(ARCHITECTURES)


def test_learning_rates_fall_and_batches_grow_with_the_size():
    sections = [compose(size, "llama") for size in list(NUM_PARAMETERS)[1:]]
    rates = [each["optim"]["learning_rate"] for each in sections]
    tokens = [each["train"]["global_batch_size"] * each["model"]["max_position_embeddings"] for each in sections]
    assert rates == sorted(rates, reverse=True)
    assert tokens == sorted(tokens)
    assert (tokens[0], tokens[-1]) == (2**19, 2**21)
