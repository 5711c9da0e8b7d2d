#!/bin/sh
# Two versions of a library that meet: transformers 5.24.0 saves, 5.5.4 loads (5.6.0 loads well).
# Guess: an older version within the same major one loads a `CLIPTextModel`, or raises.
# Behavior: it returns a model of random weights, other ones at every load. The newer version leaves
#   out the prefix "text_model." of the weights' names, so that the older finds none of them; its
#   only sign is a logged table of missing names, which this script silences.
# Exit status: 0 if it still behaves so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile torch==2.13.0 transformers==5.24.0
cat > "$folder/encoder.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")
import torch
import transformers
from transformers import CLIPTextConfig, CLIPTextModel

action, folder = sys.argv[1:]
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def size(model):
    return round(sum(p.abs().sum().item() for p in model.parameters()), 3)


if action == "save":
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=8, bos_token_id=0, eos_token_id=1,
    )
    model = CLIPTextModel(config)
    model.save_pretrained(folder)
    with open(f"{folder}/size", "w") as file:
        print(size(model), file=file)
    raise SystemExit

with open(f"{folder}/size") as file:
    saved = float(file.read())
loaded = [size(CLIPTextModel.from_pretrained(folder)) for _ in range(2)]
print(f"versions: saved by transformers 5.24.0, loaded by {transformers.__version__}")
print("guess:    the saved weights, or an error")
print("behavior: random weights, other ones at every load" if action == "random" else
      "behavior: the saved weights")
print(f"seen:     sum of the weights' magnitudes: saved {saved}, loaded {loaded}")
kept = all(abs(value - saved) < 0.01 for value in loaded)
if action == "random":
    raise SystemExit(kept or loaded[0] == loaded[1])
raise SystemExit(not kept)
PY
"$folder/venv/bin/python" "$folder/encoder.py" save "$folder/encoder"
"$folder/venv/bin/pip" install -qq --no-compile transformers==5.5.4
"$folder/venv/bin/python" "$folder/encoder.py" random "$folder/encoder"
"$folder/venv/bin/pip" install -qq --no-compile transformers==5.6.0
"$folder/venv/bin/python" "$folder/encoder.py" same "$folder/encoder"
