import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate, max_pool2d

import hrvlab as hl
from hrvlab.attention import Unedited, attach
from hrvlab.errors import ParameterError, TokenError
from hrvlab.methods.local_blend import LocalBlend, blend_mask, blended_columns
from hrvlab.methods.prompt_to_prompt import edit
from hrvlab.models.heads import cross_attention_layers
from tests.attention.test_injection import flat, injection, oracle, run
from tests.pipelines import tiny_sd

PAIRS = [["a red car", "a blue car"], ["a cat", "a red cat and dog"]]
BLEND = [("red", ["blue", "car"]), ("cat", "red")]
COLUMNS = [[[2]], [[2], [3]], [[2]], [[2]]]  # of these words, in all four prompts
STEPS = {"num_inference_steps": 5, "progress": False}


def explicit_blend(pipe, threshold):
    """Local blending from explicit maps, which their processors keep as they were before edits."""
    layers = [layer for layer in cross_attention_layers(pipe.unet) if layer.downscale == 2]
    sums = torch.zeros(4, 2, 4, 8, dtype=torch.float64)

    def after_step(_, __, ___, given):
        for layer in layers:
            maps = pipe.unet.get_submodule(layer.module).processor.maps[-1][4:].sum(dim=1)
            for image, words in enumerate(COLUMNS):
                for word, columns in enumerate(words):
                    sums[image, word] += maps[image, :, columns].sum(dim=-1).reshape(4, 8)
        latents = given["latents"].clone()
        for pair in range(2):
            mask = torch.zeros(8, 16, dtype=torch.bool)
            for image in (2 * pair, 2 * pair + 1):
                for word in range(len(COLUMNS[image])):
                    area = max_pool2d(sums[image, word][None, None], 3, 1, 1)
                    area = interpolate(area, (8, 16))[0, 0]
                    mask |= area / area.max() > threshold
            latents[2 * pair + 1, :, ~mask] = latents[2 * pair, :, ~mask]
        return {"latents": latents}

    return after_step


@pytest.mark.parametrize("rescaled", [True, False])
def test_blending_equals_that_with_explicit_maps(rescaled):
    pipe = tiny_sd().to(torch.float64)
    factors = np.linspace(0.5, 2, 8) if rescaled else None
    edit = injection(pipe, PAIRS, factors=factors)
    local = LocalBlend(COLUMNS, 0.9)
    with attach(pipe, edit, Unedited(local), prompts=flat(PAIRS)):
        ours = run(pipe, PAIRS, width=32, callback_on_step_end=local.after_step)
    theirs = oracle(pipe, edit, PAIRS, width=32, callback_on_step_end=explicit_blend(pipe, 0.9))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    alike = (ours[1::2] == ours[::2]).all(dim=1)
    assert all(0 < share < 1 for share in alike.double().mean(dim=(1, 2)).tolist())


def test_columns_are_those_of_each_prompt_s_own_words(tiny_pipe):
    found = blended_columns(tiny_pipe, PAIRS, BLEND, 0.3)
    assert [words for pair in found for words in pair] == COLUMNS
    both = blended_columns(tiny_pipe, PAIRS[:1], ((), "car"), 0.3)
    assert both == [[[], [[3]]]]


def test_an_area_is_what_any_word_of_either_image_has_widened_by_a_position():
    maps = torch.zeros(4, 2, 4, 6)
    maps[0, 0, 0, 0] = maps[1, 1, 3, 5] = 1
    maps[1, 1, 0, 3] = 0.2
    mask = blend_mask(maps, 0.3, (4, 6))
    assert mask.shape == (2, 1, 4, 6)
    expected = torch.zeros(4, 6, dtype=torch.bool)
    expected[:2, :2] = expected[2:, 4:] = True
    assert torch.equal(mask[0, 0], expected)
    assert not mask[1].any()


def test_pairs_are_blended_alike_in_any_batch_and_sources_are_as_without(tiny_pipe):
    sources, targets = zip(*PAIRS, strict=True)
    together = edit(tiny_pipe, sources, targets, blend=BLEND, seed=[0, 1], **STEPS)
    alone = edit(tiny_pipe, sources, targets, blend=BLEND, seed=[0, 1], batch_size=2, **STEPS)
    np.testing.assert_allclose(together.astype(float), alone, atol=1)
    without = edit(tiny_pipe, sources, targets, seed=[0, 1], **STEPS)
    np.testing.assert_allclose(together[::2].astype(float), without[::2], atol=1)
    assert (together[1::2] != without[1::2]).any()


def test_a_higher_threshold_keeps_more_of_the_source(tiny_pipe):
    def change(threshold):
        blend = {"blend": ("red", "blue"), "blend_threshold": threshold}
        source, edited = edit(tiny_pipe, "a red car", "a blue car", **blend, **STEPS)
        return np.abs(source.astype(float) - edited).mean()

    assert change(0.95) < change(0.0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"blend": "car"}, ParameterError, "as in \\('cat', 'dog'\\)"),
        ({"blend": ("red", "blue", "car")}, ParameterError, "as in"),
        ({"blend": [("red", "blue")] * 2}, ParameterError, "as in"),
        ({"blend": ((), ())}, ParameterError, "names no word"),
        ({"blend": ("blue", "red")}, TokenError, "'blue' is not a word of the prompt 'a red car'"),
        ({"blend": ("red", "blue"), "blend_threshold": 1}, ParameterError, "blend_threshold is 1"),
        (
            {"blend": ("red", "blue"), "callback_on_step_end": print},
            ParameterError,
            "leave out callback_on_step_end",
        ),
    ],
)
def test_bad_blends_are_refused_before_generating(tiny_pipe, settings, error, message):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(error, match=message):
        hl.edit(tiny_pipe, "a red car", "a blue car", **settings, **STEPS)
    assert not calls
