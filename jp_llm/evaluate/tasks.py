"""`launch/evaluate_tasks.py`: Japanese tasks through lm-evaluation-harness."""

from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jp_llm.evaluate.config import JGLUE_TASKS, EvaluateTasksConfig
from jp_llm.evaluate.interval import mean_interval, wilson
from jp_llm.evaluate.jglue import NUM_CHOICES, Split, divide, find_file, read_docs
from jp_llm.evaluate.prompts import PROMPTS, answer_of
from jp_llm.evaluate.result import common, dtype_of, markdown_table, number, percent, publish
from jp_llm.export.inference import LoadedModel, encode, open_model
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of

TITLE = "Japanese tasks"
USUAL_SHOTS = {"jcommonsenseqa": 3, "jnli": 3, "jsquad": 2}
CHANCE = {"jcommonsenseqa": 1 / NUM_CHOICES, "jnli": 1 / 3, "jsquad": 0.0}
"""Share of right answers of somebody who guesses; of a written answer practically none."""
MOST_CUT = 0.5
"""Share of questions that may lose text of their own before a task says nothing any more."""


def run(config: EvaluateTasksConfig) -> None:
    """Measure as configured, print the table, write the result file."""
    result = evaluate_tasks(config)
    publish(config, TITLE, result, table(result))


def evaluate_tasks(config: EvaluateTasksConfig) -> dict[str, Any]:
    """The result as it is written to `output`.

    Raises:
        UserError: no harness, no model, a file is absent or of another format, or the model cannot take a task.
    """
    if find_spec("lm_eval") is None:
        raise UserError("tasks: lm-evaluation-harness is not installed: pip install 'jp-llm[tasks]'")
    local = [name for name in dict.fromkeys(config.tasks) if name in JGLUE_TASKS]
    others = [name for name in dict.fromkeys(config.tasks) if name not in JGLUE_TASKS]
    files = {name: find_file(Path(config.jglue or "").expanduser(), name) for name in local}
    splits = {
        name: divide(
            read_docs(path, name),
            USUAL_SHOTS[name] if config.num_fewshot is None else config.num_fewshot,
            config.limit,
        )
        for name, path in files.items()
    }
    loaded = open_model(Path(config.model), config.device, config.precision)
    _refuse_what_cannot_be_asked(config, loaded, splits)

    from jp_llm.evaluate.harness import (
        HarnessModel,
        harness_tasks,
        local_task,
        own_results,
        refuse_long_answers,
        run_tasks,
    )

    tasks = {
        name: local_task(name, split, config.prompt_version, config.max_answer_tokens) for name, split in splits.items()
    }
    groups: dict[str, Any] = {}
    model = HarnessModel(loaded, config.batch_size)
    if others:
        own = harness_tasks(others, config.num_fewshot)
        refuse_long_answers(model, own["tasks"])
        tasks |= own["tasks"]
        groups = own.get("groups", {})
    found = run_tasks(model, {"tasks": tasks, "groups": groups}, config.limit)
    results = {
        name: _result(name, found["samples"][name], splits[name])
        | {"cut_prompts": len({each.doc_id for each in tasks[name].instances if model.is_cut(each.args)})}
        for name in local
    }
    return common(config, loaded) | {
        "tasks": results,
        "harness": own_results(found) if others else {},
        "settings": {
            "prompt_version": config.prompt_version,
            "num_fewshot": {name: len(split.shots) for name, split in splits.items()},
            "limit": config.limit,
            "max_answer_tokens": config.max_answer_tokens,
            "context_tokens": model.max_length,
            "device": loaded.device.type,
            "dtype": dtype_of(loaded),
            "lm_eval": version("lm_eval"),
        },
        "data": {str(path): sha256_of(path) for path in files.values()},
    }


_SHARES = ("acc", "acc_norm", "exact_match", "em", "f1")
"""Measures of the harness that are shares of something; of others nobody knows the scale."""


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table: a row per task and measure."""
    rows = []
    for name, found in result["tasks"].items():
        for measure, sums in found["measures"].items():
            rows.append(
                [
                    f"{name}, {measure}",
                    f"{found['questions']:,}",
                    str(result["settings"]["num_fewshot"][name]),
                    percent(sums["value"]),
                    f"{percent(sums['interval'][0])} – {percent(sums['interval'][1])}",
                    percent(found["chance"]),
                    percent(found["most_frequent"]),
                    f"{found['cut_prompts']:,}",
                ]
            )
    for name, sums in result["harness"].get("results", {}).items():
        if name in result["tasks"]:
            continue
        for key, value in sums.items():
            if isinstance(value, float) and "stderr" not in key:
                measure = key.split(",")[0]
                shown = percent(value) if measure in _SHARES else number(value, 4)
                rows.append([f"{name}, {measure}", "", "", shown, "", "", "", ""])
    head = (
        "task",
        "questions",
        "examples",
        "score",
        "95 % interval",
        "chance",
        "always the same answer",
        "prompts cut",
    )
    return markdown_table(head, rows)


def _result(name: str, samples: list[dict[str, Any]], split: Split) -> dict[str, Any]:
    labels = Counter(doc["label"] for doc in split.scored if "label" in doc)
    measures = ("exact_match", "f1") if name == "jsquad" else ("acc",)
    found: dict[str, Any] = {}
    for measure in measures:
        values = [float(sample[measure]) for sample in samples]
        interval = mean_interval(values) if measure == "f1" else wilson(round(sum(values)), len(values))
        found[measure] = {"value": sum(values) / len(values), "interval": interval}
    return {
        "questions": len(samples),
        "measures": found,
        "chance": CHANCE[name],
        "most_frequent": max(labels.values()) / len(split.scored) if labels else None,
    }


def _refuse_what_cannot_be_asked(config: EvaluateTasksConfig, loaded: LoadedModel, splits: dict[str, Split]) -> None:
    """Say before minutes are spent that a model cannot take a task."""
    problems = []
    if "jsquad" in splits and loaded.tokenizer.eos_token_id is None:
        problems.append(f"tasks: {loaded.folder} has no end token, so no answer of jsquad can end; leave it out")
    context = loaded.context
    for name, split in splits.items() if context is not None else ():
        assert context is not None
        room = context - config.max_answer_tokens if name == "jsquad" else context
        prompt = PROMPTS[name][config.prompt_version]
        too_long = 0
        for doc in split.scored:
            answer = "" if name == "jsquad" else answer_of(name, doc)
            too_long += 1 + len(encode(loaded.tokenizer, prompt.question(doc) + answer)) > room + bool(answer)
        if room < 1 or too_long > MOST_CUT * len(split.scored):
            problems.append(
                f"tasks: the model's context of {context} tokens is too short for {name}: {too_long} of "
                f"{len(split.scored)} questions do not fit even without examples"
                + (f" beside max_answer_tokens {config.max_answer_tokens}" if name == "jsquad" else "")
                + "; leave it out"
            )
    if problems:
        raise UserError(*problems)
