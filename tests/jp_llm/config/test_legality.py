"""Which layouts are refused, and what is offered instead."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import run_config

from jp_llm.config.app import CONFIG_FOLDER
from jp_llm.config.build import problems_of
from jp_llm.config.layout import Layout, layouts
from jp_llm.config.run import RunConfig

ROOT = CONFIG_FOLDER.parent

# Key, value and processes of a run that is legal without it: 4 heads, 64 wide inside the MLP, 16 positions, 8 layers,
# vocabulary 512; 8 sequences in micro-batches of 2.
LEGAL = {"model__num_layers": 8, "parallel__zero_stage": 1}
REFUSED = [
    ({"parallel__tensor": 2, "parallel__pipeline": 2}, 6, "6 is not a multiple of 2 x 2"),
    ({"parallel__tensor": 8}, 8, "model.num_attention_heads 4 is not a multiple of tensor 8"),
    ({"parallel__tensor": 4, "model__intermediate_size": 66}, 4, "model.intermediate_size 66 is not a multiple"),
    ({"parallel__tensor": 4, "train__seq_length": 14}, 4, "train.seq_length 14 is not a multiple of tensor 4"),
    (
        {
            "parallel__tensor": 3,
            "model__hidden_size": 24,
            "model__num_attention_heads": 12,
            "model__intermediate_size": 96,
            "model__max_position_embeddings": 15,
        },
        3,
        "the padded vocabulary 512 is not a multiple of tensor 3",
    ),
    (
        {
            "parallel__tensor": 6,
            "model__hidden_size": 24,
            "model__num_attention_heads": 12,
            "model__num_key_value_heads": 4,
            "model__intermediate_size": 96,
            "model__max_position_embeddings": 12,
            "model__vocab_size": 384,
        },
        6,
        "of 4 key/value heads and tensor 6 neither divides the other",
    ),
    ({"parallel__pipeline": 9}, 9, "model.num_layers 8 is less than pipeline 9"),
    ({"parallel__pipeline": 4, "parallel__virtual_stages": 3}, 4, "is less than pipeline 4 x virtual_stages 3"),
    ({"parallel__virtual_stages": 2}, 4, "parallel.virtual_stages 2 needs pipeline 2 or more"),
    ({}, 8, "train.global_batch_size: 8 is not a multiple of train.micro_batch_size 2 x 8 data-parallel processes"),
    ({"parallel__pipeline": 2}, 16, "2 x 8 data-parallel processes; the nearest is 16"),
    ({"parallel__pipeline": 2, "parallel__offload_optimizer": True}, 2, "parallel.offload_optimizer works with"),
    ({"parallel__pipeline": 2, "train__compile": True}, 2, "train.compile works with tensor 1 and pipeline 1 only"),
    ({"parallel__tensor": 2, "train__compile": True}, 2, "train.compile works with tensor 1 and pipeline 1 only"),
]


@pytest.mark.parametrize(("values", "world_size", "expected"), REFUSED)
def test_what_is_refused(values: dict[str, object], world_size: int, expected: str) -> None:
    (problem,) = run_config(**(LEGAL | values)).layout_problems(world_size)
    assert expected in problem


@pytest.mark.parametrize(
    ("values", "world_size"),
    [
        ({}, 4),
        ({"parallel__tensor": 4, "parallel__pipeline": 8}, 128),
        ({"parallel__tensor": 4, "model__num_key_value_heads": 1}, 4),
        ({"parallel__tensor": 4, "model__num_key_value_heads": 2}, 4),
        ({"parallel__tensor": 2, "model__num_key_value_heads": 4}, 4),
        ({"parallel__pipeline": 4, "parallel__virtual_stages": 2}, 4),
        ({"parallel__offload_optimizer": True}, 4),
        ({"train__compile": True}, 4),
    ],
)
def test_what_is_not(values: dict[str, object], world_size: int) -> None:
    assert run_config(**(LEGAL | values)).layout_problems(world_size) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"parallel__gather": "per_step"}, "parallel.gather: per_step says how ZeRO-3 gathers"),
        ({"parallel__offload_optimizer": True, "parallel__zero_stage": 0}, "parallel.offload_optimizer: ZeRO-0 cannot"),
    ],
)
def test_what_the_section_refuses_by_itself(values: dict[str, object], expected: str) -> None:
    (problem,) = problems_of(run_config(**values))
    assert expected in problem


def test_gathering_per_micro_batch_in_a_pipeline_is_legal() -> None:
    config = run_config(parallel__zero_stage=3, parallel__pipeline=2, parallel__gather="per_micro_batch")
    assert problems_of(config) == []


def test_an_unknown_vocabulary_is_not_judged() -> None:
    values = {"parallel__tensor": 3, "model__hidden_size": 24, "model__num_attention_heads": 12}
    values |= {"model__intermediate_size": 96, "model__max_position_embeddings": 15}
    assert run_config(**values, model__vocab_size=None).layout_problems(3) == []


def test_all_obstacles_stand_in_one_line_and_the_batch_in_another() -> None:
    config = run_config(parallel__tensor=3, parallel__pipeline=3, train__global_batch_size=9)
    layout, batch = config.layout_problems(36)
    assert layout.startswith("parallel: tensor 3 x pipeline 3 over 36 processes is not possible (model.num_attention")
    assert layout.count(";") == 5
    assert layout.endswith("no layout of 36 processes fits this model and batch")
    assert batch.startswith("train.global_batch_size: 9 is not a multiple of train.micro_batch_size 2 x 4")


def test_the_nearest_layouts_come_as_overrides_and_in_order() -> None:
    config = run_config(model__num_layers=8, parallel__tensor=3, parallel__pipeline=2, train__global_batch_size=64)
    (problem,) = config.layout_problems(16)
    assert problem.endswith(
        "; nearest layouts: parallel.tensor=4 parallel.pipeline=2 (data 2), parallel.tensor=2 parallel.pipeline=2 "
        "(data 4), parallel.tensor=4 parallel.pipeline=1 (data 4)"
    )
    (problem,) = config.layout_problems(None)
    assert problem.endswith(
        "; nearest layouts: parallel.tensor=4 parallel.pipeline=2, parallel.tensor=2 parallel.pipeline=2, "
        "parallel.tensor=4 parallel.pipeline=3"
    )


def divisors(size: int) -> list[int]:
    return [number for number in range(1, size + 1) if size % number == 0]


@given(st.integers(1, 300))
def test_every_layout_of_a_world_is_listed_once(world_size: int) -> None:
    found = list(layouts(world_size))
    expected = {(t, p) for t in divisors(world_size) for p in divisors(world_size) if world_size % (t * p) == 0}
    assert {(layout.tensor, layout.pipeline) for layout in found} == expected
    assert len(found) == len(expected)
    assert all(layout.world_size == world_size for layout in found)


@given(
    tensor=st.integers(1, 9),
    pipeline=st.integers(1, 9),
    world_size=st.one_of(st.none(), st.integers(1, 96)),
    virtual_stages=st.integers(1, 3),
    heads=st.sampled_from([(12, 12), (12, 4), (8, 1), (8, 8)]),
    batch=st.sampled_from([8, 24, 48, 60]),
)
def test_the_layouts_that_are_offered_are_legal(
    tensor: int, pipeline: int, world_size: int | None, virtual_stages: int, heads: tuple[int, int], batch: int
) -> None:
    def config(tensor: int, pipeline: int) -> RunConfig:
        return run_config(
            model__hidden_size=48,
            model__num_attention_heads=heads[0],
            model__num_key_value_heads=heads[1],
            model__intermediate_size=96,
            model__num_layers=8,
            model__max_position_embeddings=24,
            parallel__tensor=tensor,
            parallel__pipeline=pipeline,
            parallel__virtual_stages=virtual_stages,
            train__global_batch_size=batch,
        )

    asked = config(tensor, pipeline)
    offered = list(asked.legal_layouts(world_size))
    for layout in offered:
        assert config(layout.tensor, layout.pipeline).layout_problems(world_size) == []
        assert world_size in (None, layout.world_size)
    named = "".join(asked.layout_problems(world_size))
    assert named.count("parallel.tensor=") in (0, min(3, len(offered)))
    assert (named == "") == any((tensor, pipeline) == (layout.tensor, layout.pipeline) for layout in offered)


def test_the_search_is_fast() -> None:
    config = run_config(parallel__tensor=3, model__num_layers=96, model__num_attention_heads=4)
    for world_size in (4096, 5040, None):
        best = min(_seconds(config, world_size) for _ in range(3))
        assert best < 0.2


def _seconds(config: RunConfig, world_size: int | None) -> float:
    started = time.process_time()  # whatever else the machine does
    config.layout_problems(world_size)
    return time.process_time() - started


def test_distance_counts_doublings() -> None:
    assert Layout(4, 1, 2).distance(1, 8) == 4
    assert Layout(4, 1, 2).distance(4, 2) == 0


def launched(*overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "launch/train.py", "model/size=13b", *overrides]
    clean = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return subprocess.run(
        command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_door_refuses_a_layout_with_words_and_code_2() -> None:
    result = launched("model.vocab_size=48000", "dry_run=true", "parallel.world_size=16", "parallel.tensor=3")
    assert result.returncode == 2
    assert result.stderr == (
        "error: parallel: tensor 3 x pipeline 1 over 16 processes is not possible (model.num_attention_heads 40 is not "
        "a multiple of tensor 3; train.seq_length 2048 is not a multiple of tensor 3; 16 is not a multiple of 3 x 1); "
        "nearest layouts: parallel.tensor=4 parallel.pipeline=1 (data 4), parallel.tensor=2 parallel.pipeline=1 "
        "(data 8), parallel.tensor=4 parallel.pipeline=2 (data 2)\n"
    )
