"""After a text's first call, nothing waits for an accelerator before a generation ends."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hrvlab.attention import Rescale, SpatialMaps, TokenMeans, attach, concept_votes
from hrvlab.models.families import denoiser_of, family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import word_columns
from tests.pipelines import Tiny, tiny_sd
from tests.tiny_joint import JOINT
from tests.tiny_transformers import TRANSFORMERS

ATEN = torch.ops.aten
# What reads numbers back from a device: float(), bool(), torch.equal, indexing by a mask.
WAITS = (ATEN._local_scalar_dense, ATEN.equal, ATEN.nonzero, ATEN.masked_select)
KINDS = {"sd1": Tiny(tiny_sd), "pixart": TRANSFORMERS["pixart-alpha"]}
KINDS |= {kind: JOINT[kind] for kind in ("sd3", "flux")}

# Calls until every text was seen: FLUX's negative prompt, and that of SD 3's skipped layers.
FIRST = {"flux": 2, "sd3": 3}


class NoWaiting(TorchDispatchMode):
    """Refuses whatever an accelerator must be waited for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket not in WAITS, func
        return func(*args, **(kwargs or {}))


def refuse_waiting(denoiser, first):
    """Refuse it within a denoiser's calls, its hooks included, after the first ones."""
    entered, calls = [], []

    def begin(*_):
        calls.append(1)
        if len(calls) > first:
            entered.append(NoWaiting())
            entered[-1].__enter__()

    def end(*_):
        if entered:
            entered.pop().__exit__(None, None, None)

    denoiser.register_forward_pre_hook(begin, prepend=True)
    denoiser.register_forward_hook(end, always_call=True)
    return calls


@pytest.mark.parametrize("kind", KINDS)
def test_no_tap_and_no_edit_waits_for_an_accelerator_after_a_texts_first_call(kind):
    pipe, call = KINDS[kind].build(), KINDS[kind].call | {"num_inference_steps": 4}
    family = family_of(pipe)
    if kind == "sd3":
        call |= {"skip_guidance_layers": [1], "skip_layer_guidance_stop": 0.9}
    if kind == "flux":
        call |= {"true_cfg_scale": 2.0, "negative_prompt": "a vase"}
    own = family.encoding(pipe, call)
    layers = cross_attention_layers(denoiser_of(pipe))
    columns = [[word_columns(pipe, "a red car", "red", **own)]]
    taps = [TokenMeans(), SpatialMaps(columns, {layer.index: layer.downscale for layer in layers})]
    words = family.encode_words(pipe, ["red", "cat"], **own)
    taps.append(concept_votes(words, [1, 1], lambda _, n, s: np.zeros((n, s, 2), np.int64)))
    edit = Rescale(np.linspace(-1, 2, sum(layer.heads for layer in layers)), "red")
    with attach(pipe, *taps, edit, prompts="a red car", encoding=own) as session:
        calls = refuse_waiting(denoiser_of(pipe), FIRST.get(kind, 1))
        pipe("a red car", output_type="latent", **call)
    assert len(calls) >= len(session.scheduler_timesteps) >= 4
    for tap in taps:
        tap.result()
