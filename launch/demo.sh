# The whole walk in the order of the data. Every step is a door that does the same for a real corpus and a real model.
set -eu

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1/7  sample corpus: several MB of generated Japanese in raw formats"
python launch/sample_corpus.py output_dir=corpora/sample

say "2/7  clean, train a tokenizer, encode to token shards"
python launch/preprocess.py corpus=demo

say "3/7  train through DeepSpeed (run it again to continue after an interruption)"
python launch/train.py run=demo run_dir=runs/demo

say "4/7  export to a Hugging Face folder and verify it"
python launch/export_hf.py checkpoint=runs/demo output_dir=models/demo overwrite=true

say "5/7  evaluate on held-out documents"
python launch/evaluate.py model=models/demo data=corpora/demo output=runs/demo/evaluation.json max_characters=50000

say "6/7  write texts"
python launch/generate.py model=models/demo "prompts=[昔々、,日本の首都は,人工知能とは、,今日の天気は]" max_new_tokens=60 \
    output=runs/demo/texts.jsonl overwrite=true

say "7/7  the result"
python launch/report.py run_dir=runs/demo model=models/demo evaluation=runs/demo/evaluation.json texts=runs/demo/texts.jsonl
