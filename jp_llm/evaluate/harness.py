"""lm-evaluation-harness around our models, and JGLUE's local files as its tasks.

Needs the extra `tasks`. The harness imports peft and accelerate with itself: some seconds, so this file is imported
when a task is run. Nothing here asks the network: documents are built in memory, and the measures are the harness's
accuracy and our own functions.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager
from lm_eval.utils import handle_non_serializable
from transformers import GenerationConfig

from jp_llm.evaluate.config import JGLUE_TASKS
from jp_llm.evaluate.jglue import Split, character_f1, exact_match
from jp_llm.evaluate.prompts import PROMPTS, answer_of, choices_of
from jp_llm.evaluate.score import split_ids
from jp_llm.export.inference import LoadedModel, encode
from jp_llm.huggingface.reload import quiet_transformers
from jp_llm.runtime.errors import UserError

STOP = "\n"
"""Ends a written answer."""


class HarnessModel(HFLM):  # type: ignore[misc]
    """A loaded model as the harness calls it.

    Text is encoded as everywhere in this room: one begin token, no end token (some tokenizers would add one behind the
    prompt), and an answer that is never empty where a token reaches over the end of the prompt. Likelihoods are summed
    in float32, also of a bf16 model, whose own numbers around 100 are 0.5 apart. Of its generation_config.json only the
    ends count: a penalty for chats, or a length, would change the answers.
    """

    def __init__(self, loaded: LoadedModel, batch_size: int) -> None:
        with quiet_harness():
            super().__init__(
                pretrained=loaded.model,
                tokenizer=loaded.tokenizer,
                backend="causal",
                batch_size=batch_size,
                max_length=loaded.context,
                softmax_dtype="float32",
            )
        loaded.model.generation_config = GenerationConfig(eos_token_id=sorted(loaded.end_ids) or None)
        self.loaded = loaded

    def tok_encode(self, string: str, **_: Any) -> list[int]:
        """Without the begin token: before a whole text whose likelihood it asks for, the harness puts it itself."""
        return encode(self.loaded.tokenizer, string)

    def tok_batch_encode(
        self,
        strings: Sequence[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [[self.loaded.start_id, *self.tok_encode(string)] for string in strings]
        if left_truncate_len:
            rows = [row[-left_truncate_len:] for row in rows]
        width = max(map(len, rows))
        filler = self.loaded.tokenizer.pad_token_id
        tokens = [[filler] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(tokens), torch.tensor(mask)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        found: list[str] = super().generate_until(requests, disable_tqdm=True)
        return found

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        before, after = split_ids(self.loaded.tokenizer, context, continuation)
        return [self.loaded.start_id, *before], after

    def is_cut(self, arguments: tuple[Any, ...]) -> bool:
        """Whether the prompt of a request loses its beginning, because the context is too short."""
        prompt, rest = arguments
        if isinstance(rest, str):
            return bool(sum(map(len, self._encode_pair(prompt, rest))) > self.max_length + 1)
        return bool(1 + len(self.tok_encode(prompt)) > self.max_length - rest["max_gen_toks"])


def local_task(name: str, split: Split, prompt_version: str, max_answer_tokens: int) -> Any:
    """JGLUE's task `name` over documents in memory."""
    prompt = PROMPTS[name][prompt_version]
    documents = {"shots": Dataset.from_list(split.shots), "scored": Dataset.from_list(split.scored)}
    config: dict[str, Any] = {
        "task": name,
        "custom_dataset": lambda **_: documents,
        "test_split": "scored",
        "fewshot_split": "shots" if split.shots else None,
        "fewshot_config": {"sampler": "first_n", "split": "shots"} if split.shots else None,
        "num_fewshot": len(split.shots),
        "description": prompt.description,
        "doc_to_text": prompt.question,
        "target_delimiter": "",
        "fewshot_delimiter": "\n\n",
        "metadata": {"version": prompt_version},
    }
    if name == "jsquad":
        config |= {
            "output_type": "generate_until",
            "doc_to_target": lambda doc: answer_of(name, doc),
            "generation_kwargs": {"until": [STOP], "do_sample": False, "max_gen_toks": max_answer_tokens},
            "process_results": lambda doc, results: {
                "exact_match": exact_match(results[0], doc["answers"]),
                "f1": character_f1(results[0], doc["answers"]),
            },
            "metric_list": [
                {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("exact_match", "f1")
            ],
        }
    else:
        config |= {
            "output_type": "multiple_choice",
            "doc_to_target": "label",
            "doc_to_choice": lambda doc: choices_of(name, doc),
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
    with quiet_harness():
        return ConfigurableTask(config=config)


def harness_tasks(names: Sequence[str], num_fewshot: int | None) -> dict[str, Any]:
    """The harness's own tasks and groups, with their data downloaded: {"tasks": .., "groups": ..}.

    Raises:
        UserError: a name is unknown, or its data cannot be downloaded.
    """
    manager = TaskManager()
    if unknown := [name for name in names if name not in manager.all_tasks]:
        ours = ", ".join(JGLUE_TASKS)
        raise UserError(
            *(f"tasks: lm-evaluation-harness has no task or group {name!r}; ours are {ours}" for name in unknown)
        )
    try:
        loaded: dict[str, Any] = manager.load(list(names))
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"tasks: {', '.join(names)} cannot be loaded ({reason}). The harness's own tasks download their data: they "
            "need a network, HF_HUB_OFFLINE unset, and what the message may name"
        ) from error
    for task in loaded["tasks"].values():
        shots = task.config.num_fewshot or 0
        task.set_config(key="num_fewshot", value=shots if num_fewshot is None else num_fewshot)
        task.set_fewshot_seed(seed=1234)
    return loaded


def refuse_long_answers(model: HarnessModel, tasks: dict[str, Any]) -> None:
    """Say before minutes are spent that answers leave no room for a question.

    Raises:
        UserError: a task may write as many tokens as the model's context has.
    """
    problems = []
    for name, task in tasks.items():
        if task.OUTPUT_TYPE == "generate_until":
            longest = normalize_gen_kwargs(task.config.generation_kwargs, model.max_gen_toks)["max_gen_toks"]
            if longest >= model.max_length:
                problems.append(
                    f"tasks: answers of {name} may have {longest} tokens, which leaves no room for a question in the "
                    f"context of {model.max_length}; leave it out"
                )
    if problems:
        raise UserError(*problems)


def run_tasks(model: HarnessModel, tasks: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """What `lm_eval.evaluator.evaluate` gives: results by task, and every sample.

    Args:
        tasks: {"tasks": {name: task}, "groups": ...}.
        limit: first documents of every task; null for all.
    """
    with quiet_harness(), quiet_transformers():
        found: dict[str, Any] = evaluate(model, tasks, limit=limit, bootstrap_iters=0, log_samples=True)
    return found


def own_results(found: dict[str, Any]) -> dict[str, Any]:
    """What the harness itself says of its tasks and groups, as JSON can hold it."""
    kept = {key: found[key] for key in ("results", "groups", "n-samples", "n-shot") if key in found}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=handle_non_serializable))
    return plain


@contextmanager
def quiet_harness() -> Iterator[None]:
    """The harness remarks on much that is meant, such as prompts that are cut, which are counted instead."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
