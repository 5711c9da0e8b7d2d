#!/bin/sh
# Library: transformers 5.24.0, `CLIPTokenizer`; matters for diffusers' SDXL and SD 2, whose
#   second or only tokenizer pads with "!".
# Guess: the padding token decides what fills the end, not how a prompt is split.
# Behavior: a padding token is cut out of the text before anything is merged. With pad_token="!"
#   the prompt "cat!!" has two padding tokens, "!" and "!", where the same vocabulary with the usual
#   padding has the one token "!!</w>". Words are then in other columns for SDXL's two encoders, and
#   decoding without special tokens loses the marks.
# Exit status: 0 if it still behaves so.
set -eu
export TRANSFORMERS_VERBOSITY=error  # no hints about packages that are not needed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile transformers==5.24.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import string

import transformers
from transformers import CLIPTokenizer

characters = ["!", *string.ascii_lowercase]
pieces = [*characters, *(f"{c}</w>" for c in characters), "at</w>", "cat</w>", "!!</w>"]
vocab = {t: i for i, t in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
merges = [("a", "t</w>"), ("c", "at</w>"), ("!", "!</w>")]


def split(**options):
    tokenizer = CLIPTokenizer(vocab=dict(vocab), merges=merges, model_max_length=16, **options)
    ids = tokenizer("cat!! cat").input_ids
    tokens = tokenizer.convert_ids_to_tokens(ids)[1:-1]
    return tokens, tokenizer.decode(ids, skip_special_tokens=True)


usual, exclamation = split(), split(pad_token="!")
print(f"versions: transformers {transformers.__version__}")
print("guess:    'cat!! cat' is split alike, whatever the padding token")
print("behavior: with pad_token='!' each mark is a padding token")
print(f"seen:     usual padding: {usual[0]}, decoded {usual[1]!r}")
print(f"          padding '!':   {exclamation[0]}, decoded {exclamation[1]!r}")
raise SystemExit(
    not (
        usual[0] == ["cat</w>", "!!</w>", "cat</w>"]
        and exclamation[0] == ["cat</w>", "!", "!", "cat</w>"]
        and "!" not in exclamation[1]
    )
)
PY
