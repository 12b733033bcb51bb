"""Prompts for JGLUE as Japanese models have been compared with them.

They are numbered as in the jp-stable branch of Stability AI's lm-evaluation-harness, whose leaderboard used them: 0.2
(Fintan) for models that continue text, 0.3 (Alpaca) for models that follow instructions. Of JCommonsenseQA 0.2 is its
version 0.2.1, which answers with the choice itself and not with its number. lm-evaluation-harness's own
japanese_leaderboard has a translation of 0.3.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jp_llm.evaluate.jglue import JNLI_LABELS, Doc


@dataclass(frozen=True)
class Prompt:
    """How a task is put to a model."""

    description: str
    """Before everything else."""
    question: Callable[[Doc], str]
    """A document without its answer, which follows immediately."""


_ALPACA = "以下は、タスクを説明する指示と、文脈のある入力の組み合わせです。要求を適切に満たす応答を書きなさい。\n\n"


def _listed(choices: list[str]) -> str:
    return "\n".join(f"- {choice}" for choice in choices)


def _alpaca(instruction: str, text: str) -> str:
    return f"### 指示:\n{instruction}\n\n### 入力:\n{text}\n\n### 応答:\n"


PROMPTS: dict[str, dict[str, Prompt]] = {
    "jcommonsenseqa": {
        "0.2": Prompt(
            # The space stands in the original.
            "与えられた選択肢の中から、最適な答えを選んでください。 \n\n",
            lambda doc: f"質問：{doc['question']}\n選択肢：\n{_listed(doc['choices'])}\n回答：",
        ),
        "0.3": Prompt(
            _ALPACA,
            lambda doc: _alpaca(
                "与えられた選択肢の中から、最適な答えを選んでください。出力は以下から選択してください：\n"
                + _listed(doc["choices"]),
                doc["question"],
            ),
        ),
    },
    "jnli": {
        "0.2": Prompt(
            "前提と仮説の関係をentailment、contradiction、neutralの中から回答してください。\n\n制約:\n"
            "- 前提から仮説が、論理的知識や常識的知識を用いて導出可能である場合はentailmentと出力\n"
            "- 前提と仮説が両立しえない場合はcontradictionと出力\n"
            "- そのいずれでもない場合はneutralと出力\n\n",
            lambda doc: f"前提:{doc['sentence1']}\n仮説:{doc['sentence2']}\n関係:",
        ),
        "0.3": Prompt(
            _ALPACA,
            lambda doc: _alpaca(
                "与えられた前提と仮説の関係を回答してください。\n\n出力は以下から選択してください：\n"
                + "\n".join(JNLI_LABELS),
                f"前提：{doc['sentence1']}\n仮説：{doc['sentence2']}",
            ),
        ),
    },
    "jsquad": {
        "0.2": Prompt(
            "質問に対する回答を文章から一言で抽出してください。回答は名詞で答えてください。\n\n",
            lambda doc: f"文章:{doc['context']}\n質問:{doc['question']}\n回答:",
        ),
        "0.3": Prompt(
            _ALPACA,
            lambda doc: _alpaca(
                "与えられた文脈から、質問に対する答えを抜き出してください。",
                f"文脈：{doc['context']}\n質問：{doc['question']}",
            ),
        ),
    },
}


def answer_of(task: str, doc: Doc) -> str:
    """The right answer as a solved example shows it."""
    if task == "jsquad":
        return str(doc["answers"][0])
    return choices_of(task, doc)[doc["label"]]


def choices_of(task: str, doc: Doc) -> list[str]:
    """What is compared by its likelihood."""
    return list(doc["choices"] if task == "jcommonsenseqa" else JNLI_LABELS)
