"""LoRA through `peft` on an exported folder, merged back into one that every door takes (docs/finetuning.md)."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_export import TEXT

from jp_llm.config.pretrained import pretrained_fields
from jp_llm.evaluate.config import EvaluateConfig
from jp_llm.evaluate.run import evaluate
from jp_llm.generate.config import GenerateConfig
from jp_llm.generate.run import run as generate
from jp_llm.runtime.files import read_json_lines

pytest.importorskip("peft", reason="peft is not installed (pip install 'jp-llm[lora]')")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_adapter_is_trained_merged_and_taken_by_the_doors(model_folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, lora)
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert trained < 0.3 * sum(parameter.numel() for parameter in model.parameters())

    batch = tokenizer(list(TEXT[:4]), return_tensors="pt", padding=True, truncation=True, max_length=48)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW((p for p in adapted.parameters() if p.requires_grad), lr=5e-3)
    losses = []
    for _ in range(12):
        loss = adapted(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.eval()
    with torch.no_grad():
        expected = adapted(**batch).logits

    # As the documentation says: everything but weights and proof is copied, the merged weights are written beside it.
    merged = tmp_path / "merged"
    shutil.copytree(
        model_folder, merged, ignore=shutil.ignore_patterns("*.safetensors*", "proof.json", "README.md", "LICENSE")
    )
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload().save_pretrained(merged)

    loaded = AutoModelForCausalLM.from_pretrained(merged).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(**batch).logits, expected, atol=1e-4, rtol=1e-4)
    assert pretrained_fields(merged) | {"size": ""} == pretrained_fields(model_folder) | {"size": ""}

    texts = tmp_path / "texts.jsonl"
    generate(
        GenerateConfig(model=str(merged), prompts=("春の朝、",), output=str(texts), max_new_tokens=8, device="cpu")
    )
    assert read_json_lines(texts)[0]["prompt"] == "春の朝、"
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXT[:4]))
    after, before = (
        evaluate(EvaluateConfig(model=str(model), data=(str(held_out),), device="cpu"))["total"]["bits_per_character"]
        for model in (merged, model_folder)
    )
    assert after < before
