"""Is the wiring of the Japanese tasks right? A model that knows nothing must score like one that guesses, and a model
that was made to know the answers must score near 100 %.

The second is the first, trained here on the very questions it is then asked (prompt and answer, loss on the answer
only), written as a Hugging Face folder and measured through launch/evaluate_tasks.py's own function: files, prompts,
tokenizer, lm-evaluation-harness, generation and measures all have to be right for that. It says nothing about a model.
There are no solved examples before the questions: the context of a small model has no room for them.

    python benchmarks/jglue.py MODEL JGLUE_FOLDER [--limit 100] [--taught 10] [--steps 120]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _report import report
from torch.nn.functional import cross_entropy

from jp_llm.evaluate.config import JGLUE_TASKS, EvaluateTasksConfig
from jp_llm.evaluate.jglue import divide, find_file, read_docs
from jp_llm.evaluate.prompts import PROMPTS, answer_of
from jp_llm.evaluate.score import split_ids
from jp_llm.evaluate.tasks import evaluate_tasks
from jp_llm.export.inference import LoadedModel, open_model


def lessons(loaded: LoadedModel, jglue: Path, count: int, version: str) -> list[tuple[list[int], list[int]]]:
    """(tokens of the prompt, tokens of the answer and its end) of the questions that will be asked."""
    found = []
    for task in JGLUE_TASKS:
        prompt = PROMPTS[task][version]
        for doc in divide(read_docs(find_file(jglue, task), task), 0, count).scored:
            text = answer_of(task, doc) + ("\n" if task == "jsquad" else "")
            before, after = split_ids(loaded.tokenizer, prompt.description + prompt.question(doc), text)
            room = loaded.context - (48 if task == "jsquad" else 0)
            found.append(([loaded.start_id, *before][-room + len(after) :], after))
    return found


def teach(loaded: LoadedModel, taught: list[tuple[list[int], list[int]]], steps: int, rate: float, batch: int) -> float:
    """Train on nothing but these answers; returns the last mean loss in nats per token."""
    model = loaded.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    ordered = sorted(taught, key=lambda pair: len(pair[0]) + len(pair[1]))
    batches = [ordered[start : start + batch] for start in range(0, len(ordered), batch)]
    loss = float("inf")
    for step in range(steps):
        total = 0.0
        for rows in batches:
            width = max(len(before) + len(after) for before, after in rows) - 1
            inputs_BT = torch.zeros(len(rows), width, dtype=torch.long)
            targets_BT = torch.full((len(rows), width), -100)
            for row, (before, after) in enumerate(rows):
                tokens = before + after
                inputs_BT[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
                targets_BT[row, len(before) - 1 : len(tokens) - 1] = torch.tensor(after)
            hidden_BTD = model.model(input_ids=inputs_BT.to(loaded.device)).last_hidden_state
            # Logits only where a token is learned: they are most of the work of a small model.
            learned_BT = targets_BT != -100
            logits_NV = model.lm_head(hidden_BTD[learned_BT.to(loaded.device)])
            found = cross_entropy(logits_NV, targets_BT[learned_BT].to(loaded.device))
            optimizer.zero_grad()
            found.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += found.item()
        loss = total / len(batches)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - (step + 1) / steps)
        if loss < 0.003:
            break
    model.eval()
    return loss


def scores(model: Path, jglue: Path, **settings: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """{(task, measure): figures}."""
    config = EvaluateTasksConfig(
        model=str(model), jglue=str(jglue), num_fewshot=0, model_card=False, precision="fp32", **settings
    )
    return {
        (task, measure): {"chance": found["chance"], "one answer": found["most_frequent"], **sums, **found}
        for task, found in evaluate_tasks(config)["tasks"].items()
        for measure, sums in found["measures"].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("jglue", type=Path)
    parser.add_argument("--limit", type=int, default=100, help="questions per task for the model as it is")
    parser.add_argument("--taught", type=int, default=10, help="questions per task that are taught")
    parser.add_argument("--steps", type=int, default=120, help="times that they are shown at most")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    args = parser.parse_args()

    before = scores(args.model, args.jglue, limit=args.limit)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        loaded = open_model(args.model, "auto", "fp32")
        torch.manual_seed(0)
        taught = lessons(loaded, args.jglue, args.taught, "0.2")
        loss = teach(loaded, taught, args.steps, args.learning_rate, batch=8)
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        seconds = time.monotonic() - start
        after = scores(Path(folder), args.jglue, limit=args.taught)
    rows = [
        {
            "task": f"{task}, {measure}",
            "chance %": f"{100 * found['chance']:.1f}",
            "one answer for all %": "-" if found["one answer"] is None else f"{100 * found['one answer']:.1f}",
            "n": found["questions"],
            "model %": f"{100 * found['value']:.1f}",
            "95 % interval": f"{100 * found['interval'][0]:.1f} – {100 * found['interval'][1]:.1f}",
            "prompts cut": found["cut_prompts"],
            "n taught": after[task, measure]["questions"],
            "taught model %": f"{100 * after[task, measure]['value']:.1f}",
        }
        for (task, measure), found in before.items()
    ]
    report("JGLUE: a model that guesses, and one that knows", rows, seconds_of_teaching=seconds, loss=loss)


if __name__ == "__main__":
    main()
