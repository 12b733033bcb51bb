"""The search: what it tries, what it holds fixed, what it calls best."""

from typing import Any

import pytest

from jp_llm.config.app import composed
from jp_llm.config.build import build
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.run import RunConfig
from jp_llm.plan.remedy import refusal
from jp_llm.plan.run import PlanConfig, held_keys
from jp_llm.plan.search import GIB, NEAR_TIE, SEARCHED, TIGHT, search

WORDS = ("model/size=13b", "model/arch=palm", "model.vocab_size=50000", "cluster=a100-40gb", "cluster.nodes=16")


def planned(*words: str) -> tuple[RunConfig, ClusterConfig]:
    config = build(PlanConfig, *composed("train", words))
    assert config.cluster is not None
    return config, config.cluster


def test_every_candidate_could_be_started() -> None:
    config, cluster = planned(*WORDS)
    candidates = search(config, cluster).candidates
    assert len(candidates) > 1000
    for candidate in candidates:
        assert candidate.layout == candidate.config.parallel.layout(cluster.world_size)
    for candidate in candidates[::50]:
        assert candidate.config.layout_problems(cluster.world_size) == []
        assert candidate.config.parallel.problems() == []


def test_the_best_leaves_memory_free_and_is_the_simplest_of_the_fastest() -> None:
    found = search(*planned(*WORDS))
    best = found.best
    assert best is not None
    assert best.memory.total <= best.cluster.memory_gib * GIB
    fitting = [candidate for candidate in found.candidates if candidate.fits]
    fastest = min(candidate.time.total for candidate in fitting)
    near = [candidate for candidate in fitting if candidate.time.total <= fastest * (1 + NEAR_TIE)]
    assert len(near) < len(fitting)
    assert best in near
    roomy = [candidate for candidate in near if candidate.memory.total <= TIGHT * best.cluster.memory_gib * GIB]
    assert 0 < len(roomy) < len(near)
    assert best in roomy
    assert best.complexity == min(candidate.complexity for candidate in roomy)
    assert best.complexity > min(candidate.complexity for candidate in near)


def test_a_tight_layout_is_taken_where_no_other_is_nearly_as_fast() -> None:
    config, cluster = planned(*WORDS)
    fastest = next(one for one in search(config, cluster).candidates if one.fits)
    held = frozenset(SEARCHED)
    small = cluster.model_copy(update={"memory_gib": fastest.memory.total / GIB + 0.01})
    best = search(fastest.config, small, held).best
    assert best is not None
    assert best.tight
    assert best.overrides == fastest.overrides


def test_every_divisor_of_the_batch_is_tried_as_a_micro_batch() -> None:
    config, cluster = planned(*WORDS, "train.global_batch_size=960")
    sizes = {candidate.config.train.micro_batch_size for candidate in search(config, cluster).candidates}
    assert sizes == {1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 32, 64}


def test_kinds_are_different_fit_and_begin_with_the_best() -> None:
    found = search(*planned(*WORDS))
    kinds = found.kinds(6)
    assert kinds[0] is found.best
    assert len({kind.overrides for kind in kinds}) == 6
    assert all(kind.fits for kind in kinds)


HELD: list[dict[str, Any]] = [
    {"parallel.zero_stage": 2},
    {"parallel.zero_stage": 3, "parallel.gather": "per_step"},
    {"parallel.tensor": 8, "parallel.pipeline": 4},
    {"parallel.virtual_stages": 2, "parallel.pipeline": 2},
    {"train.micro_batch_size": 4, "train.activation_checkpointing": True},
]


@pytest.mark.parametrize("values", HELD, ids=lambda values: " ".join(values))
def test_what_the_user_says_is_held_fixed(values: dict[str, Any]) -> None:
    given = [f"{key}={str(value).lower()}" for key, value in values.items()]
    config, cluster = planned(*WORDS, *given)
    candidates = search(config, cluster, held_keys(given)).candidates
    assert candidates
    for candidate in candidates:
        for key, value in values.items():
            section, _, name = key.partition(".")
            assert getattr(getattr(candidate.config, section), name) == value


def test_a_whole_section_is_held_fixed() -> None:
    assert held_keys(["parallel={tensor: 2}", "train.num_steps=5"]) == {
        key for key in SEARCHED if key.startswith("parallel.")
    }


def test_tensor_groups_stay_in_a_node_unless_they_are_asked_for() -> None:
    config, cluster = planned(*WORDS, "cluster.devices_per_node=4", "cluster.nodes=32")
    assert max(candidate.layout.tensor for candidate in search(config, cluster).candidates) == 4
    config, cluster = planned(*WORDS, "cluster.devices_per_node=4", "cluster.nodes=32", "parallel.tensor=8")
    assert {candidate.layout.tensor for candidate in search(config, cluster, {"parallel.tensor"}).candidates} == {8}


def test_stages_that_cannot_run_are_not_tried() -> None:
    compiled = search(*planned(*WORDS, "train.compile=true")).candidates
    assert {candidate.config.parallel.zero_stage for candidate in compiled} <= {1, 2}
    assert {(candidate.layout.tensor, candidate.layout.pipeline) for candidate in compiled} == {(1, 1)}
    offloaded = search(*planned(*WORDS, "parallel.offload_optimizer=true")).candidates
    assert {candidate.layout.pipeline for candidate in offloaded} == {1}


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (("model/size=13b", "cluster=a100-40gb", "cluster.memory_gib=20"), {"cluster.nodes=", "cluster=a100-40gb"}),
        (("model/size=13b", "cluster=a100-40gb", "cluster.nodes=4", "parallel.zero_stage=1", "parallel.tensor=1",
          "parallel.pipeline=1"), {"(instead of what you gave", "cluster=h200"}),
        (("model/size=2.7b", "cluster=l40s", "cluster.devices_per_node=1"),
         {"parallel.offload_optimizer=true", "cluster.nodes=", "cluster=a100-80gb"}),
    ],
)  # fmt: skip
def test_a_refusal_names_what_fits_and_that_fits(words: tuple[str, ...], offers: set[str]) -> None:
    words = (*words, "model.vocab_size=50000")
    config, cluster = planned(*words)
    held = held_keys(words)
    found = search(config, cluster, held)
    assert found.best is None
    text = refusal(config, cluster, held, found)
    assert all(offer in text for offer in offers)
    for offer in text.partition("Nearest that fits: ")[2].split("; or "):
        new = [word for word in offer.partition(" (")[0].split() if "=" in word]
        keys = {word.partition("=")[0] for word in new}
        kept = [word for word in words if word.partition("=")[0] not in keys]
        if "cluster" in keys:
            kept = [word for word in kept if "memory_gib" not in word]
        changed, larger = planned(*kept, *new)
        best = search(changed, larger, held_keys([*kept, *new])).best
        assert best is not None, offer


def test_what_is_given_is_offered_as_large_as_it_fits() -> None:
    words = ("model/size=6.7b", "model.vocab_size=50000", "cluster=a100-40gb", "train.micro_batch_size=512")
    config, cluster = planned(*words)
    held = held_keys(words)
    text = refusal(config, cluster, held, search(config, cluster, held))
    best = search(config, cluster).best
    assert best is not None
    size = best.config.train.micro_batch_size
    assert size > 1
    assert f"Nearest that fits: train.micro_batch_size={size} (instead of what you gave" in text


@pytest.mark.parametrize(("batch", "nodes"), [(7, 1), (100, 2), (13, 3)])
def test_a_batch_that_no_layout_divides_is_named_with_one_that_can_be_divided(batch: int, nodes: int) -> None:
    words = ("model/size=nano", "model.vocab_size=500", "cluster=a100-40gb", f"cluster.nodes={nodes}",
             f"train.global_batch_size={batch}", "parallel.tensor=1", "parallel.pipeline=1")  # fmt: skip
    config, cluster = planned(*words)
    held = held_keys(words)
    found = search(config, cluster, held)
    assert found.candidates == ()
    reason, _, offers = refusal(config, cluster, held, found).partition("; possible: ")
    assert f"no layout of {8 * nodes} processes divides this model and batch {batch}" in reason
    batches, sizes = offers.split("; or ")
    nearest = int(batches.removeprefix("train.global_batch_size="))
    assert nearest % (8 * nodes) == 0
    assert abs(nearest - batch) <= 8 * nodes
    assert sizes.startswith("cluster.nodes=")
    for offer in (batches, sizes):
        keys = {word.partition("=")[0] for word in offer.split()}
        kept = [word for word in words if word.partition("=")[0] not in keys]
        assert search(*planned(*kept, *offer.split()), held).candidates, offer
