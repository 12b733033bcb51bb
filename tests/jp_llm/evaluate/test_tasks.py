"""The whole way of the Japanese tasks: a model that was made to know the answers must score 100 %."""

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from jglue_files import JCOMMONSENSEQA, JNLI, JSQUAD, write_jglue
from tiny_export import export_decoder, tiny_config, tiny_decoder, tiny_tokenizer
from torch.nn.functional import cross_entropy

from jp_llm.config.build import problems_of
from jp_llm.evaluate import tasks
from jp_llm.evaluate.config import EvaluateTasksConfig
from jp_llm.evaluate.jglue import divide, find_file, read_docs
from jp_llm.evaluate.prompts import PROMPTS, answer_of
from jp_llm.evaluate.score import continuation_nats, split_ids
from jp_llm.evaluate.tasks import evaluate_tasks, run
from jp_llm.export.inference import LoadedModel, encode, open_model
from jp_llm.runtime.errors import UserError

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed (extra `tasks`)")


@pytest.fixture(scope="module")
def jglue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jglue(tmp_path_factory.mktemp("jglue"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model whose context takes every prompt."""
    root = tmp_path_factory.mktemp("tasks")
    tokenizer = tiny_tokenizer(root / "tokenizer")
    config = tiny_config(tokenizer, max_position_embeddings=768)
    export_decoder(tiny_decoder(config), tokenizer, root / "model", verify="structure")
    return root / "model"


@pytest.fixture(scope="module")
def knowing(model: Path, jglue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, after it has learned the answers by heart: one vector per token, one linear map, no more."""
    loaded = open_model(model, "cpu", "fp32")
    learn(loaded, lessons(loaded, jglue))
    folder = tmp_path_factory.mktemp("knowing") / "model"
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def lessons(loaded: LoadedModel, jglue: Path) -> list[tuple[list[int], list[int]]]:
    found = []
    for task in tasks.JGLUE_TASKS:
        prompt = PROMPTS[task]["0.2"]
        for doc in divide(read_docs(find_file(jglue, task), task), 0, None).scored:
            answer = answer_of(task, doc) + ("\n" if task == "jsquad" else "")
            before, after = split_ids(loaded.tokenizer, prompt.description + prompt.question(doc), answer)
            found.append(([loaded.start_id, *before], after))
    return found


def learn(loaded: LoadedModel, found: list[tuple[list[int], list[int]]]) -> None:
    """The body stays as it was drawn: different prompts end in different states, and the head learns to tell them."""
    torch.manual_seed(0)
    states, targets = [], []
    with torch.no_grad():
        for before, after in found:
            hidden = loaded.model.model(input_ids=torch.tensor([before + after])).last_hidden_state[0]
            states.append(hidden[len(before) - 1 : -1])
            targets.append(torch.tensor(after))
    states_ND, targets_N = torch.cat(states), torch.cat(targets)
    head = loaded.model.lm_head
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = cross_entropy(head(states_ND), targets_N)
        value.backward()
        return value

    optimizer.step(loss)
    assert bool((head(states_ND).argmax(1) == targets_N).all())


def measured(model: Path, jglue: Path, **settings: Any) -> dict[str, Any]:
    config = EvaluateTasksConfig(model=str(model), jglue=str(jglue), device="cpu", num_fewshot=0, **settings)
    return evaluate_tasks(config)


def test_a_model_that_knows_the_answers_scores_100_percent(
    knowing: Path, jglue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    found = measured(knowing, jglue)["tasks"]
    assert {task: result["questions"] for task, result in found.items()} == {
        "jcommonsenseqa": len(JCOMMONSENSEQA),
        "jnli": len(JNLI),
        "jsquad": len(JSQUAD),
    }
    for task, result in found.items():
        for measure, sums in result["measures"].items():
            assert sums["value"] == 1.0, (task, measure)
        assert result["cut_prompts"] == 0


def test_one_that_does_not_know_them_does_not(model: Path, jglue: Path) -> None:
    found = measured(model, jglue, max_answer_tokens=8)["tasks"]
    assert found["jsquad"]["measures"]["exact_match"]["value"] == 0
    assert found["jcommonsenseqa"]["measures"]["acc"]["value"] < 0.7
    assert found["jcommonsenseqa"]["chance"] == 0.2
    assert found["jnli"]["most_frequent"] == pytest.approx(1 / 3)


def test_likelihoods_are_ours_and_examples_stand_before_the_question(model: Path, jglue: Path) -> None:
    from jp_llm.evaluate.harness import HarnessModel, local_task, run_tasks

    loaded = open_model(model, "cpu", "fp32")
    split = divide(read_docs(find_file(jglue, "jnli"), "jnli"), 1, 2)
    task = local_task("jnli", split, "0.2", 8)
    found = run_tasks(HarnessModel(loaded, 3), {"tasks": {"jnli": task}, "groups": {}}, None)
    prompt = PROMPTS["jnli"]["0.2"]
    shot = prompt.question(split.shots[0]) + answer_of("jnli", split.shots[0]) + "\n\n"
    sample = found["samples"]["jnli"][0]
    text = prompt.description + shot + prompt.question(split.scored[0])
    assert sample["arguments"][0][0] == text
    for (_, choice), (nats, _) in zip(sample["arguments"], [each[0] for each in sample["resps"]], strict=True):
        ids = [loaded.start_id, *encode(loaded.tokenizer, text + choice)]
        seam = 1 + len(split_ids(loaded.tokenizer, text, choice)[0])
        with torch.no_grad():
            logits = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(logits[place - 1, ids[place]].item() for place in range(seam, len(ids)))
        assert nats == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_harness_and_our_own_likelihoods_agree(model: Path, precision: Literal["fp32", "bf16"]) -> None:
    """With a context, without one, and of a whole text; in bf16, whose numbers around 100 are 0.5 apart, too."""
    from jp_llm.evaluate.harness import HarnessModel

    loaded = open_model(model, "cpu", precision)
    pairs = [("春の朝、", "川のそばを歩く。" * 4), ("", "水の音がする。")]
    ids = [split_ids(loaded.tokenizer, *pair) for pair in pairs]
    expected = [-nats for nats in continuation_nats(loaded, ids, context=768, batch_tokens=1)]
    harness = HarnessModel(loaded, 1)
    found = harness.loglikelihood([SimpleNamespace(args=pair) for pair in pairs])
    assert [nats for nats, _ in found] == pytest.approx(expected, rel=1e-5)
    (whole,) = harness.loglikelihood_rolling([SimpleNamespace(args=(pairs[1][1],))], disable_tqdm=True)
    assert whole == pytest.approx(expected[1], rel=1e-5)


def test_answers_are_greedy_whatever_the_generation_settings_of_a_model_are(model: Path) -> None:
    from jp_llm.evaluate.harness import HarnessModel, quiet_harness

    answers = []
    for settings in ({}, {"repetition_penalty": 50.0}, {"max_new_tokens": 2}):
        loaded = open_model(model, "cpu", "fp32")
        loaded.model.generation_config.update(**settings)
        asked = {"until": ["\0"], "do_sample": False, "max_gen_toks": 24}
        with quiet_harness():
            answers += HarnessModel(loaded, 1).generate_until([SimpleNamespace(args=("春の朝、", asked))])
    assert answers[0] == answers[1] == answers[2] != ""


def test_a_task_whose_answers_fill_the_context_is_refused_at_once(
    model: Path, jglue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jp_llm.evaluate import harness

    task = harness.local_task("jsquad", divide(read_docs(find_file(jglue, "jsquad"), "jsquad"), 0, 1), "0.2", 768)
    monkeypatch.setattr(harness, "harness_tasks", lambda *_: {"tasks": {"long": task}})
    with pytest.raises(UserError, match=r"answers of long may have 768 tokens, .* context of 768"):
        measured(model, jglue, tasks=("long",))


def test_a_result_file_with_hashes_a_table_and_a_card(
    model: Path, jglue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tasks.json"
    run(
        EvaluateTasksConfig(
            model=str(model),
            jglue=str(jglue),
            tasks=("jcommonsenseqa",),
            limit=2,
            num_fewshot=3,
            output=str(output),
            device="cpu",
        )
    )
    result = json.loads(output.read_text())
    assert result["settings"]["num_fewshot"] == {"jcommonsenseqa": 3}
    assert result["settings"]["prompt_version"] == "0.2"
    assert list(result["data"]) == [str(jglue / "jcommonsenseqa-valid.json")]
    assert result["model"]["files_sha256"]["tokenizer.json"]
    assert "| jcommonsenseqa, acc | 2 | 3 |" in capsys.readouterr().out
    card = (model / "README.md").read_text()
    assert card.count("<!-- evaluation: Japanese tasks -->") == 1
    assert "| jcommonsenseqa, acc | 2 | 3 |" in card


def test_prompts_that_are_cut_are_counted_and_a_context_too_short_is_refused(
    folder: Path, model: Path, jglue: Path
) -> None:
    with pytest.raises(UserError, match=r"context of 64 tokens is too short for jsquad: 5 of 5 questions"):
        measured(folder, jglue, tasks=("jsquad",))
    with pytest.raises(UserError, match=r"too short for jsquad: .* beside max_answer_tokens 760"):
        measured(model, jglue, tasks=("jsquad",), max_answer_tokens=760)
    # The questions fit, but not behind their instructions.
    assert measured(folder, jglue, tasks=("jnli",))["tasks"]["jnli"]["cut_prompts"] == len(JNLI)


def test_a_model_that_cannot_end_is_refused(model: Path, jglue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = open_model(model, "cpu", "fp32")
    loaded.tokenizer.eos_token = None
    monkeypatch.setattr(tasks, "open_model", lambda *_: loaded)
    with pytest.raises(UserError, match="has no end token"):
        measured(model, jglue)


def test_without_the_harness_the_extra_is_named(model: Path, jglue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'jp-llm\[tasks\]'"):
        measured(model, jglue)


class Manager:
    """Stands in for the harness's index of tasks, which takes long to build and would ask the network for data."""

    all_tasks = ("japanese_leaderboard",)

    def load(self, names: list[str]) -> dict[str, Any]:
        raise ConnectionError(f"Couldn't reach 'Rakuten/JGLUE' for {names} on the Hub")


def test_unknown_tasks_missing_data_and_missing_files_are_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jp_llm.evaluate import harness

    monkeypatch.setattr(harness, "TaskManager", Manager)
    with pytest.raises(UserError, match="has no task or group 'jnlx'"):
        measured(model, tmp_path, tasks=("jnlx",))
    with pytest.raises(UserError, match=r"japanese_leaderboard cannot be loaded \(Couldn't reach .* need a network"):
        measured(model, tmp_path, tasks=("japanese_leaderboard",))
    with pytest.raises(UserError, match=r"holds neither jnli-valid\.json"):
        measured(model, tmp_path, tasks=("jnli",))


def test_the_config_names_what_is_missing() -> None:
    assert [problem.split(":")[0] for problem in problems_of(EvaluateTasksConfig())] == ["model", "jglue"]
    assert not problems_of(EvaluateTasksConfig(model="m", tasks=("japanese_leaderboard",)))
