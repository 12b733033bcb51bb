"""The article on fine-tuning with `transformers.Trainer`: texts in blocks of 128, one epoch, perplexity, pipeline."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
from tiny_export import TEXT

pytest.importorskip("accelerate", reason="accelerate is not installed (pip install 'jp-llm[lora]')")
pytest.importorskip("datasets", reason="datasets is not installed (pip install 'jp-llm[corpus]')")

block_size = 128


def group_texts(examples: dict[str, Any]) -> dict[str, Any]:
    # Concatenate all texts.
    concatenated_examples = {k: sum(examples[k], []) for k in examples.keys()}  # noqa: RUF017, SIM118
    total_length = len(concatenated_examples[list(examples.keys())[0]])  # noqa: RUF015
    # We drop the small remainder, we could add padding if the model supported it instead of this drop, you can
    # customize this part to your needs.
    if total_length >= block_size:
        total_length = (total_length // block_size) * block_size
    # Split by chunks of block_size.
    result = {
        k: [t[i : i + block_size] for i in range(0, total_length, block_size)] for k, t in concatenated_examples.items()
    }
    result["labels"] = result["input_ids"].copy()
    return result


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_one_epoch_with_the_trainer(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainingArguments,
        pipeline,
    )

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder)

    chance = random.Random(0)
    answers = [[chance.choice(TEXT) for _ in range(4)] for _ in range(120)]
    eli5 = Dataset.from_dict({"answers.text": answers}).train_test_split(test_size=0.2, seed=0)

    def preprocess_function(examples: dict[str, Any]) -> Any:
        return tokenizer([" ".join(x) for x in examples["answers.text"]])

    # The article takes four processes.
    tokenized_eli5 = eli5.map(preprocess_function, batched=True, remove_columns=eli5["train"].column_names)
    lm_dataset = tokenized_eli5.map(group_texts, batched=True)
    assert {len(row) for row in lm_dataset["train"]["input_ids"]} == {block_size}

    tokenizer.pad_token = tokenizer.eos_token
    data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=False)

    training_args = TrainingArguments(
        output_dir=str(tmp_path / "my_awesome_eli5_clm-model"),
        eval_strategy="epoch",
        learning_rate=2e-4,  # 2e-5 in the article, whose model has learned before and whose epoch has more steps
        weight_decay=0.01,
        push_to_hub=False,
        report_to="none",
        num_train_epochs=1,  # 3 in the article
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=lm_dataset["train"],
        eval_dataset=lm_dataset["test"],
        data_collator=data_collator,
        processing_class=tokenizer,  # `tokenizer=` in the article: transformers 5 has renamed it
    )

    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    eval_results = trainer.evaluate()
    assert math.exp(eval_results["eval_loss"]) < math.exp(before)

    trainer.save_model(str(tmp_path / "my_model"))
    prompt = "春の朝、"
    generator = pipeline("text-generation", model=str(tmp_path / "my_model"), device="cpu")
    assert generator(prompt, max_new_tokens=10)[0]["generated_text"].startswith(prompt)
