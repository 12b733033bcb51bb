"""The dry run: its numbers against independent counts, what it needs and what it finds."""

import math
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Processes
from tiny import run_config, write_dataset
from training import build_engine

import jp_llm.engine.module as stage_module
from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.app import CONFIG_FOLDER
from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.layout import Layout
from jp_llm.config.memory import chunks
from jp_llm.config.run import RunConfig
from jp_llm.model.decoder import Decoder
from jp_llm.parallel.tensor import Placement, TensorAxis
from jp_llm.plan.memory import stage_memory
from jp_llm.runtime.errors import UserError
from jp_llm.train.dry_run import describe
from jp_llm.train.plan import plan
from jp_llm.train.preflight import check, planned_world
from jp_llm.train.stage_report import MEMORY, flops_shares, stage_memories

ROOT = CONFIG_FOLDER.parent


def planned(**values: Any) -> RunConfig:
    return run_config(
        **({"dry_run": True, "data__path": "", "model__num_layers": 5, "parallel__world_size": 16} | values)
    )


@pytest.mark.parametrize("arch", ["gpt2", "neox", "llama", "palm"])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_owned_and_saved_parameters_add_up_to_the_model(arch: str, zero_stage: int) -> None:
    config = planned(model__arch=arch, parallel__tensor=4, parallel__pipeline=2, parallel__zero_stage=zero_stage)
    plans = plan(config, Layout(4, 3, 2))
    whole = num_parameters(config.model)
    ranks = [rank for stage in plans for rank in stage]
    assert sum(rank.owned for rank in ranks) == whole
    assert sum(share.saved_elements for rank in ranks for share in rank.shares) == whole
    copies = 3 if zero_stage == 0 else 1
    for rank in ranks:
        assert sum(share.elements for share in rank.shares) == copies * rank.parameters
    assert sum(rank.parameters for rank in ranks) > whole


def test_stage_3_divides_each_parameter_and_stage_1_groups_of_them() -> None:
    config = planned(model__arch="gpt2", parallel__zero_stage=3)
    sizes = [math.prod(shape) for shape in parameter_shapes(config.model).values()]
    fused = Decoder(config.model, TensorAxis())
    by_parameter = [parameter.numel() for parameter in fused.parameters()]
    assert sum(by_parameter) == sum(sizes)
    ((rank,),) = plan(config, Layout(1, 7, 1))
    for data_rank, share in enumerate(rank.shares):
        held = [max(0, min((data_rank + 1) * -(-n // 7), n) - data_rank * -(-n // 7)) for n in by_parameter]
        assert share.elements == sum(held)
        assert share.elements + share.padding == sum(-(-n // 7) for n in by_parameter)
    config = planned(model__arch="gpt2", parallel__zero_stage=1)
    ((rank,),) = plan(config, Layout(1, 7, 1))
    matrices = sum(p.numel() for name, p in fused.named_parameters() if p.ndim == 2 and name.startswith("layers"))
    others = sum(by_parameter) - matrices
    assert {share.elements + share.padding for share in rank.shares} == {
        2 * math.ceil(matrices / 14) + 2 * math.ceil(others / 14)
    }


def held_by_engines(cases: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    """Of each case: elements of optimizer state on this process, and pieces and elements that it would save."""
    found = []
    for values in cases:
        engine = build_engine(run_config(**values))
        saved = [piece.size for piece, _ in engine.owned_state()]
        found.append((sum(piece.size for piece, _ in engine.state()), len(saved), sum(saved)))
    return found


@pytest.mark.distributed
def test_engines_hold_and_save_what_was_planned(four_processes: Processes) -> None:
    common = {"model__num_layers": 3, "model__num_key_value_heads": 1, "model__qk_norm": True, "model__arch": "palm"}
    layouts = [Layout(2, 1, 2), Layout(1, 4, 1), Layout(2, 2, 1), Layout(1, 2, 2)]
    cases = [
        {**common, "parallel": {"zero_stage": stage, "tensor": layout.tensor, "pipeline": layout.pipeline}}
        for stage, layout in [*enumerate(layouts), *enumerate(reversed(layouts))]
    ]
    cases.append({**cases[1], "train__precision": "bf16"})
    # Recomputed blocks weigh more against this head: the stages are cut elsewhere.
    plain = {**common, "model__num_layers": 6, "model__vocab_size": 1024, "parallel__pipeline": 2}
    recomputed = {**plain, "train__activation_checkpointing": True}
    assert [chunks(run_config(**case))[0][0].layers for case in (plain, recomputed)] == [range(5), range(4)]
    cases.append(recomputed)
    for rank, found in enumerate(four_processes.run(held_by_engines, cases)):
        for case, held in zip(cases, found, strict=True):
            config = run_config(**case)
            layout = config.parallel.layout(4)
            place = layout.coordinates(rank)
            share = plan(config, layout)[place.pipeline][place.tensor].shares[place.data]
            assert held == (share.elements, share.saved_pieces, share.saved_elements), case


def test_pieces_of_a_checkpoint_are_counted() -> None:
    # Undivided: one piece per canonical parameter.
    config = planned(parallel__zero_stage=0)
    ((rank,),) = plan(config, Layout(1, 2, 1))
    assert [share.saved_pieces for share in rank.shares] == [len(parameter_shapes(config.model)), 0]


def test_the_table_shows_what_was_counted() -> None:
    config = planned(
        model__arch="llama", parallel__tensor=2, parallel__pipeline=2, parallel__zero_stage=3, train__precision="bf16"
    )
    text = describe(config)
    stages = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if re.match(r" *[01]  +\S*\d+-", line)]
    assert [row[1] for row in stages] == ["embedding+0-2", "3-4+head"]
    # By hand: 32 wide, 4 heads of 8, 64 inside the MLP, vocabulary 512; every tensor rank has half of each matrix.
    block = (4 * 32 * 32 + 3 * 64 * 32) // 2 + 2 * 32
    held = [512 * 32 // 2 + 3 * block, 512 * 32 // 2 + 2 * block + 32]
    norms = [6 * 32, 5 * 32]
    for row, parameters, replicated in zip(stages, held, norms, strict=True):
        assert row[2] == f"{parameters:,} ({parameters - replicated:,}-{parameters:,})"
        assert row[3:6] == [f"{each * parameters / 4 / 2**20:,.2f}" for each in (2, 4, 12)]
        parts = {name: 0.0 if cell == "-" else float(cell) for name, cell in zip(MEMORY, row[3:-2], strict=True)}
        assert sum(parts.values()) - parts["host"] == pytest.approx(float(row[-2]), abs=0.01 * len(parts))
    assert "tensor 2 x data 4 x pipeline 2" in text
    assert "none named, so not checked" in text
    assert f"({num_parameters(config.model):,} numbers)" in text


def test_the_memory_of_the_table_is_that_of_the_device_that_is_wanted() -> None:
    layout = Layout(1, 4, 2)
    on_cpu, on_gpu = (
        stage_memories(planned(parallel__pipeline=2, train__device=device), layout) for device in ("cpu", "auto")
    )
    assert on_cpu == [stage_memory(planned(parallel__pipeline=2), layout, rank, device="cpu") for rank in (0, 1)]
    assert all(memory.host == 0 and memory.margin == 0 for memory in on_cpu)
    assert all(memory.host > 0 and memory.margin > 0 for memory in on_gpu)
    assert sum(flops_shares(planned(parallel__pipeline=2))) == pytest.approx(1)


class Lost(Decoder):
    """Says of a norm that another rank owns it."""

    def placements(self) -> dict[str, Placement]:
        found = super().placements()
        found["layers.0.mlp_norm.weight"] = replace(found["layers.0.mlp_norm.weight"], owned=False)
        return found


class Doubled(Decoder):
    """Owns on every rank what all of them hold."""

    def placements(self) -> dict[str, Placement]:
        return {name: replace(each, owned=True) for name, each in super().placements().items()}


class Misplaced(Decoder):
    """Says of one weight that it is another's."""

    def placements(self) -> dict[str, Placement]:
        found = super().placements()
        return found | {"layers.0.mlp.down.weight": found["layers.0.attention.o.weight"]}


class Whole(Decoder):
    """Forgets to divide the positions."""

    def forward(self, x: torch.Tensor, document_ids_BT: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(x, document_ids_BT).repeat(1, 2, 1)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Lost, "layers.0.mlp_norm.weight: processes own 0 of 32"),
        (Doubled, "some twice: True"),
        (Misplaced, "elements, its slices"),
        (Whole, r"hidden states are \(2, 16, 32\) instead of \(2, 8, 32\)"),
    ],
)
def test_a_module_that_is_wrong_is_found(broken: type[Decoder], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "Decoder", broken)
    with pytest.raises(RuntimeError, match=message):
        plan(planned(parallel__tensor=2, model__num_layers=1), Layout(2, 2, 1))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder)
    return folder


def test_with_a_dataset_it_is_checked_too(data: Path) -> None:
    text = describe(planned(data__path=str(data), model__vocab_size=None, parallel__tensor=2, parallel__world_size=4))
    assert "epochs books" in text
    assert "tensor 2 x data 2 x pipeline 1" in text
    assert "must be a multiple of 2" in text
    with pytest.raises(UserError, match="neither") as caught:
        describe(planned(data__path=str(data), parallel__tensor=4, model__num_key_value_heads=3))
    assert caught.value.code == 2


def test_the_number_of_processes_must_be_the_launcher_s(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    assert check(run_config(data__path=str(data), parallel__world_size=4)).layout == Layout(1, 4, 1)
    with pytest.raises(UserError, match=r"parallel\.world_size: 8, but the launcher started 4") as caught:
        check(run_config(data__path=str(data), parallel__world_size=8))
    assert caught.value.code == 2
    text = describe(planned(data__path=str(data), parallel__world_size=None, parallel__tensor=2))
    assert "4 processes = tensor 2 x data 2" in text
    assert "note" not in text
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    text = describe(planned(data__path=str(data), parallel__world_size=None, parallel__tensor=2))
    assert "span nodes of 1 processes" in text


def test_a_layout_and_a_dataset_that_are_wrong_are_reported_together(data: Path) -> None:
    with pytest.raises(UserError) as caught:
        check(run_config(data__path=str(data), data__weights={"wep": 1.0}, parallel__tensor=3))
    assert caught.value.code == 3
    assert Counter(problem.split(":")[0] for problem in caught.value.problems)["parallel"] == 1
    assert len(caught.value.problems) == 2


def test_a_description_needs_no_launcher_also_inside_an_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "8")
    config = run_config(dry_run=True, parallel__world_size=4)
    assert planned_world(config).size == 4
    with pytest.raises(UserError, match="each would train alone"):
        planned_world(run_config())


def test_the_13b_on_128_processes_from_the_command_line() -> None:
    overrides = "model/size=13b model/arch=palm parallel.tensor=8 parallel.pipeline=4 parallel.zero_stage=3"
    words = [*overrides.split(), "parallel.world_size=128", "dry_run=true", "model.vocab_size=48000"]
    clean = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    result = subprocess.run(
        [sys.executable, "launch/train.py", *words],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "128 processes = tensor 8 x data 4 x pipeline 4" in result.stdout
    assert "32 different modules" in result.stdout
    assert "in 128 files" in result.stdout
    # 12 bytes for each of 14,978,462,720 parameters.
    assert "167.40 GiB in all" in result.stdout
