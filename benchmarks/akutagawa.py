"""An author's style in one evening: a small model of Aozora Bunko, fine-tuned on one author that it has never read.

    python benchmarks/akutagawa.py [folder]
        [--data ../shared/data] [--corpus <dataset folder>] [--pretrained <run folder>]
        [--pretraining-steps 3000] [--steps 400] [--learning-rate 1e-3]

Every step is a command that a user would give, and is printed before it runs. What is finished is not done again, so
the same command continues after an interruption:

a. the dataset of `aozora-pretrain` (17 authors, Akutagawa is not among them), vocabulary 8,000;
b. a model of the size nano, pretrained on it;
c. the dataset of `aozora-akutagawa` with the same tokenizer; every tenth work is held out;
d. both held-out sets, before;
e. fine-tuning on Akutagawa, alone and with a tenth of the old corpus mixed in;
f. both held-out sets after it, and five samples before and after at the same prompts and seeds.

The report at the end is Markdown: bits per character, change against the pretrained model, samples.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _report import report

from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = ("ある日の暮方の事である。", "彼は", "雨の降る晩、", "僕はその時、", "「あなたは")
REPLAY_SHARE = 0.1
HELD_OUT_CHARACTERS = 100_000
"""Of each held-out set; which ones follows from their content."""


def main() -> None:
    options = parse()
    folder: Path = options.folder.resolve()
    corpus = options.corpus or folder / "corpus"
    if not (corpus / "dataset.json").is_file():
        door(
            "preprocess",
            "corpus=aozora",
            archive(options, "pretrain"),
            f"output_dir={corpus}",
            "tokenizer.vocab_size=8000",
        )
    pretrained = options.pretrained or folder / "pretrained"
    if not options.pretrained:
        train(pretrained, options.pretraining_steps, "run=aozora_nano", f"data.path={corpus}", "optim.warmup_steps=100")
    author = folder / "akutagawa"
    if not (author / "dataset.json").is_file():
        words = (f"tokenizer.path={corpus / 'tokenizer'}", "validation_fraction=0.1")
        door("preprocess", "corpus=aozora", archive(options, "akutagawa"), f"output_dir={author}", *words)
    tuned = {"fine-tuned": (), "fine-tuned with replay": (f"data.replay={{path:{corpus},share:{REPLAY_SHARE}}}",)}
    models = {"pretrained": pretrained}
    for name, more in tuned.items():
        models[name] = folder / name.replace(" ", "_")
        train(
            models[name],
            options.steps,
            "run=finetune",
            f"init_from={pretrained}",
            f"data.path={author}",
            f"optim.learning_rate={options.learning_rate}",
            "optim.warmup_steps=20",
            "train.global_batch_size=8",
            "train.micro_batch_size=8",
            "train.precision=fp32",
            *more,
        )
    results = {name: evaluated(name, model, corpus, author, folder) for name, model in models.items()}
    show(models, results, folder, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/akutagawa"))
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--corpus", type=lambda text: Path(text).resolve())
    parser.add_argument("--pretrained", type=lambda text: Path(text).resolve())
    parser.add_argument("--pretraining-steps", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--learning-rate", default="1e-3")
    return parser.parse_args()


def archive(options: argparse.Namespace, name: str) -> str:
    path = (options.data / f"aozora-{name}.tar.zst").resolve()
    if not path.is_file():
        sys.exit(f"{path}: no such file; name the folder of the archives with --data")
    return f"sources.aozora.paths=[{path}]"


def door(name: str, *words: str) -> None:
    """Run a door and end where it fails."""
    print(f"\n$ python launch/{name}.py {' '.join(words)}", file=sys.stderr, flush=True)
    code = subprocess.run([sys.executable, f"launch/{name}.py", *words], cwd=ROOT, stdout=sys.stderr).returncode
    if code:
        sys.exit(code)


def train(run_dir: Path, num_steps: int, *words: str) -> None:
    if RunFolder(run_dir).done.is_file():
        return
    rhythm = ("checkpoint.every_steps=100", "train.eval_every_steps=0", "train.sample_every_steps=0")
    door("train", *words, f"run_dir={run_dir}", f"train.num_steps={num_steps}", *rhythm)


def evaluated(name: str, model: Path, corpus: Path, author: Path, folder: Path) -> dict[str, Any]:
    """Both held-out sets, and five samples."""
    found: dict[str, Any] = {}
    for which, data in (("general", corpus), ("akutagawa", author)):
        output = folder / "results" / f"{name.replace(' ', '_')}-{which}.json"
        if not output.is_file():
            output.parent.mkdir(parents=True, exist_ok=True)
            words = (f"model={model}", f"data=[{data}]", f"output={output}", f"max_characters={HELD_OUT_CHARACTERS}")
            door("evaluate", *words)
        found[which] = read_json(output)["total"]["bits_per_character"]
    output = folder / "results" / f"{name.replace(' ', '_')}-samples.jsonl"
    if not output.is_file():
        prompts = json.dumps(PROMPTS, ensure_ascii=False)
        door("generate", f"model={model}", f"prompts={prompts}", f"output={output}", "max_new_tokens=60", "seed=1")
    found["samples"] = {record["prompt"]: record["text"] for record in read_json_lines(output)}
    return found


def show(
    models: dict[str, Path], results: dict[str, dict[str, Any]], folder: Path, options: argparse.Namespace
) -> None:
    before = results["pretrained"]
    rows = [
        {
            "model": name,
            "Akutagawa, held out (bits/character)": round(found["akutagawa"], 4),
            "change": change(found["akutagawa"], before["akutagawa"]),
            "17 other authors, held out (bits/character)": round(found["general"], 4),
            "change ": change(found["general"], before["general"]),
        }
        for name, found in results.items()
    ]
    report(
        "How much does a model learn of an author in one evening, and what does it forget?",
        rows,
        steps=options.steps,
        learning_rate=options.learning_rate,
        pretraining_steps=None if options.pretrained else options.pretraining_steps,
    )
    print_samples(list(models), results)


def change(now: float, before: float) -> str:
    return "" if now == before else f"{100 * (now / before - 1):+.1f} %"


def print_samples(names: Sequence[str], results: dict[str, dict[str, Any]]) -> None:
    """The same prompts and seeds; a line break is shown as a slash, half a character not at all."""
    print(f"\n| prompt | {' | '.join(names)} |\n|{'---|' * (1 + len(names))}")
    for prompt in PROMPTS:
        texts = [results[name]["samples"][prompt].replace("\n", " / ").replace("|", "\\|") for name in names]
        texts = [text.replace("\ufffd", "") for text in texts]
        print(f"| {prompt} | {' | '.join(texts)} |")


if __name__ == "__main__":
    main()
