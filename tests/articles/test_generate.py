"""The article on generating text: tokenizer and `generate` with all of its settings, and `pipeline`."""

from pathlib import Path

import torch


def test_three_sequences_with_the_settings_of_the_article(model_folder: Path) -> None:
    # The article takes T5Tokenizer, the class of the model's author; AutoTokenizer finds the class of ours.
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder)

    text = "国境の長いトンネルを抜けると雪国であった。"
    input = tokenizer.encode(text, return_tensors="pt", add_special_tokens=False)

    torch.manual_seed(0)
    with torch.no_grad():
        output = model.generate(
            input.to(model.device),
            min_length=50,
            max_length=100,
            do_sample=True,
            top_k=500,
            top_p=0.95,
            num_return_sequences=3,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )

    generated_sentences = tokenizer.batch_decode(output, skip_special_tokens=True)
    assert len(set(generated_sentences)) == 3
    assert all(sentence.startswith(text) for sentence in generated_sentences)
    assert not any("<s>" in sentence or "</s>" in sentence for sentence in generated_sentences)
    assert output.shape[1] <= 100
    for row in output.tolist():
        length = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
        assert length >= 50
    # The special tokens are four different ones, as the article's call takes for granted.
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}) == 4


def test_the_pipeline_continues_a_prompt(model_folder: Path) -> None:
    from transformers import pipeline

    prompt = "春の朝、"
    # device=0 of the article is its GPU.
    generator = pipeline("text-generation", model=str(model_folder), device="cpu")
    [found] = generator(prompt, max_new_tokens=20)
    assert found["generated_text"].startswith(prompt)
    assert len(found["generated_text"]) > len(prompt)
