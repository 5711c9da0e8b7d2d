"""Runs of every kind are read right, or refused with the remedy."""

import gc
import weakref
from contextlib import nullcontext, suppress

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)

import hrvlab as hl
from hrvlab.attention import Injection, Rescale, TokenMeans, attach
from hrvlab.errors import ParameterError, TokenError
from hrvlab.models.alignment import Aligned
from hrvlab.models.families import family_of
from tests.attention.loops import denoise, encode, noise, one_batch, two_calls, unguided
from tests.pipelines import BETAS, tiny_lora, tiny_sd, tiny_sdxl
from tests.tiny_joint import tiny_sd3

RED, NEGATIVE = "a red car", "blue dog"
ORDERS = [("negative", "prompt"), ("prompt", "negative")]


@pytest.fixture
def pipe():
    pipe = tiny_sd()
    pipe.scheduler = DDIMScheduler(**BETAS, steps_offset=1, clip_sample=False)
    return pipe


def weakened(pipe, words="red"):
    return Rescale(np.full(hl.head_table(pipe.unet).sizes["head_position"], -2.0), words)


def texts(pipe, prompt=(RED,), negative=(NEGATIVE,)):
    """Encode the prompt and the negative prompt, each in a batch of its own."""
    with torch.no_grad():
        return {"negative": encode(pipe, *negative), "prompt": encode(pipe, *prompt)}


def texts_together(pipe, order):
    """Encode the prompt and the negative prompt in one batch."""
    own = {"negative": NEGATIVE, "prompt": RED}
    with torch.no_grad():
        states = encode(pipe, *(own[name] for name in order)).chunk(2)
    return dict(zip(order, states, strict=True))


def read(pipe, run, *edits, prompts=(RED,)):
    """Return the token means of a run, and what it returned."""
    tap = TokenMeans()
    with attach(pipe, *edits, tap, prompts=prompts):
        made = run()
    return tap.result(), made


def right(pipe, **call):
    """Return what the pipeline itself makes, and the token means of it."""
    call = {"negative_prompt": NEGATIVE, "num_inference_steps": 3, "latents": noise(0)} | call
    tap = TokenMeans()
    with attach(pipe, tap):
        made = pipe(RED, output_type="latent", **call).images
    return tap.result(), made


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("loop", [one_batch, two_calls])
@pytest.mark.parametrize("encoded", ["before", "inside", "inside in one batch"])
def test_a_guided_loop_of_ones_own_is_read_and_edited_as_the_pipeline(pipe, loop, order, encoded):
    means, image = right(pipe)
    with attach(pipe, weakened(pipe), prompts=RED):
        edited = pipe(
            RED, negative_prompt=NEGATIVE, num_inference_steps=3, latents=noise(0),
            output_type="latent",
        ).images  # fmt: skip
    states = texts(pipe)

    def run():
        own = states
        if encoded == "inside":
            own = texts(pipe)
        elif encoded == "inside in one batch":
            own = texts_together(pipe, order)
        return loop(pipe, own, noise(0), order)

    ours, plain = read(pipe, run)
    np.testing.assert_allclose(ours, means, atol=1e-5)
    torch.testing.assert_close(plain, image, rtol=1e-4, atol=1e-4)
    _, weak = read(pipe, run, weakened(pipe))
    torch.testing.assert_close(weak, edited, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loop", [one_batch, two_calls])
@pytest.mark.parametrize("encoded", ["before", "inside"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_guided_loop_without_prompts_is_refused_with_the_remedy(pipe, loop, encoded, order):
    states = texts(pipe)
    calls = []
    pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    with (
        pytest.raises(ParameterError, match=r"give attach prompts=\['a red car'\]"),
        attach(pipe, TokenMeans()),
    ):
        loop(pipe, states if encoded == "before" else texts(pipe), noise(0), order)
    # Only the second of two calls shows that there are two texts, if nothing was read.
    assert len(calls) <= (loop is two_calls and encoded == "before")


def test_texts_encoded_before_in_another_batch_are_found_at_every_step(pipe):
    pipe.text_encoder.to(torch.bfloat16)  # whose rounding depends on the batch more often
    with torch.no_grad():
        negative, prompt = encode(pipe, NEGATIVE, RED).float().chunk(2)
    tap = TokenMeans()
    with attach(pipe, tap, prompts=[RED]) as session:
        one_batch(pipe, {"negative": negative, "prompt": prompt}, noise(0), steps=5)
    assert tap.result().shape[:2] == (1, 5)
    assert session.call.conditional == slice(1, 2)


def test_equal_latents_of_two_prompts_are_not_taken_for_guidance(pipe):
    prompts = [RED, "a blue car"]
    for given in (None, prompts):
        means, _ = read(
            pipe, lambda: pipe(prompts, latents=noise(0, 0), guidance_scale=1.0,
                               num_inference_steps=2), prompts=given,
        )  # fmt: skip
        assert len(means) == 2
    states = texts(pipe, prompts)["prompt"]
    own, _ = read(pipe, lambda: unguided(pipe, states, noise(0, 0), 2), prompts=prompts)
    np.testing.assert_allclose(own, means, atol=1e-5)
    embedded, _ = read(
        pipe, lambda: pipe(prompt_embeds=states, latents=noise(0, 0), guidance_scale=1.0,
                           num_inference_steps=2), prompts=None,
    )  # fmt: skip
    np.testing.assert_allclose(embedded, means, atol=1e-5)
    with pytest.raises(ParameterError, match="give attach prompts"):
        read(pipe, lambda: unguided(pipe, states, noise(0, 0), 2), prompts=None)


def test_equal_prompts_with_equal_latents_in_a_loop_are_refused(pipe):
    states = texts(pipe, [RED, RED])["prompt"]
    with pytest.raises(ParameterError, match="not known whether one is the negative prompt's"):
        read(pipe, lambda: unguided(pipe, states, noise(0, 0)))
    means, _ = read(pipe, lambda: unguided(pipe, states, noise(0, 1)))
    assert len(means) == 2


@pytest.mark.parametrize("loop", [one_batch, two_calls])
def test_a_negative_prompt_that_is_the_prompt_is_read_in_a_pipeline_and_refused_in_a_loop(
    pipe, loop
):
    means, _ = right(pipe, negative_prompt=RED)
    alone, _ = right(pipe, negative_prompt=None, guidance_scale=1.0)
    np.testing.assert_allclose(means[:, 0], alone[:, 0], atol=1e-5)
    with pytest.raises(ParameterError, match="another negative prompt"):
        read(pipe, lambda: loop(pipe, texts(pipe, negative=(RED,)), noise(0)))


def test_a_prompt_that_is_another_prompts_negative_one_is_read_as_the_prompt(pipe):
    prompts, negatives = [RED, "a cat"], ["a cat", NEGATIVE]
    means, _ = read(
        pipe, lambda: pipe(prompts, negative_prompt=negatives, latents=noise(0, 1),
                           num_inference_steps=2), prompts=prompts,
    )  # fmt: skip
    states = texts(pipe, prompts)["prompt"]
    own, _ = read(pipe, lambda: unguided(pipe, states, noise(0, 1), 2), prompts=prompts)
    np.testing.assert_allclose(means[:, 0], own[:, 0], atol=1e-4)
    # In a loop, in the other order, three rows have prompts' texts.
    both = texts(pipe, prompts, negatives)
    with pytest.raises(ParameterError, match="another negative prompt"):
        read(pipe, lambda: one_batch(pipe, both, noise(0, 1), ORDERS[1]), prompts=prompts)


def test_guidance_switched_on_later_is_followed(pipe):
    states = texts(pipe)

    def predict(latents, timestep):
        if timestep > 600:
            return pipe.unet(latents, timestep, encoder_hidden_states=states["prompt"]).sample
        both = torch.cat([states["negative"], states["prompt"]])
        made = pipe.unet(torch.cat([latents] * 2), timestep, encoder_hidden_states=both).sample
        uncond, cond = made.chunk(2)
        return uncond + 7.5 * (cond - uncond)

    means, plain = read(pipe, lambda: denoise(pipe, predict, noise(0)))
    assert means.shape[:2] == (1, 3)
    _, edited = read(pipe, lambda: denoise(pipe, predict, noise(0)), weakened(pipe))
    assert (plain != edited).any()


def test_null_text_inversion_keeps_the_prompts_rows(pipe):
    states = texts(pipe)

    def predict(latents, timestep):
        own = states["negative"] + float(timestep) / 1000
        both = torch.cat([own, states["prompt"]])
        return pipe.unet(torch.cat([latents] * 2), timestep, encoder_hidden_states=both).sample[1:]

    means, _ = read(pipe, lambda: denoise(pipe, predict, noise(0)))
    alone, _ = read(pipe, lambda: unguided(pipe, states["prompt"], noise(0)))
    np.testing.assert_allclose(means, alone, atol=1e-5)


def test_a_loop_with_other_prompts_is_refused_within_its_second_step(pipe):
    calls = []
    pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    states = texts(pipe, ["a dog"])["prompt"]
    with pytest.raises(ParameterError, match="the run has other prompts than attach was given"):
        read(pipe, lambda: unguided(pipe, states, noise(0), 5))
    assert len(calls) == 1


def test_another_pipeline_with_the_same_unet_is_read_with_prompts_and_refused_without(pipe):
    other = StableDiffusionImg2ImgPipeline.from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    call = {"image": torch.rand(1, 3, 16, 16), "strength": 0.5, "num_inference_steps": 8}

    def run():
        return other(RED, generator=torch.Generator().manual_seed(0), **call).images

    tap = TokenMeans()
    with attach(other, tap):
        run()
    means, _ = read(pipe, run)
    np.testing.assert_array_equal(means, tap.result())
    with pytest.raises(ParameterError, match="give attach prompts"):
        read(pipe, run, prompts=None)


def test_shares_of_another_pipelines_steps_are_not_taken_from_a_scheduler_that_does_not_run(pipe):
    pipe(RED, num_inference_steps=10, output_type="latent")  # 901 is the second of its timesteps
    other = StableDiffusionPipeline(
        **pipe.components | {"scheduler": EulerDiscreteScheduler(**BETAS)},
        requires_safety_checker=False,
    )
    other.set_progress_bar_config(disable=True)
    pair = [RED, "a blue car"]
    edit = Injection([Aligned(np.eye(20), [2], [])], cross_share=0.8)
    with (
        pytest.raises(ParameterError, match="does not show of how many steps the shares are"),
        attach(pipe, edit, prompts=pair),
    ):
        other(pair, timesteps=[901, 500, 300, 1], output_type="latent")
    tap = TokenMeans()
    with attach(pipe, tap, prompts=pair) as session:
        other(pair, timesteps=[901, 500, 300, 1], output_type="latent")
    assert tap.result().shape[1] == 4
    assert session.call.calls is None


def test_pairs_in_another_order_are_refused_by_an_injection(pipe):
    states = texts(pipe, ["a blue car", RED])["prompt"]
    edit = Injection([Aligned(np.eye(20), [2], [])], cross_share=0.8)
    with pytest.raises(ParameterError, match="in the order source, target"):
        read(pipe, lambda: unguided(pipe, states, noise(0, 0)), edit, prompts=[RED, "a blue car"])


def test_states_changed_by_a_callback_are_refused_for_what_they_are(pipe):
    def louder(_, step, timestep, given):
        return {"prompt_embeds": given["prompt_embeds"] * 1.1}

    call = {"callback_on_step_end": louder, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    with pytest.raises(ParameterError, match="changed in the middle of the run, as by a callback"):
        read(pipe, lambda: pipe(RED, num_inference_steps=3, **call))


def test_a_second_text_encoder_that_reads_other_words_is_refused():
    pipe = tiny_sdxl()
    with pytest.raises(ParameterError, match="the run has other prompts"):
        read(pipe, lambda: pipe(RED, prompt_2="a dog", num_inference_steps=2))
    means, _ = read(pipe, lambda: pipe(RED, prompt_2="a dog", num_inference_steps=2), prompts=None)
    assert len(means) == 1


@pytest.mark.parametrize("negative", [None, "", NEGATIVE])
def test_negative_states_of_zeros_are_not_the_prompts(negative):
    pipe = tiny_sdxl()
    pipe.register_to_config(force_zeros_for_empty_prompt=True)
    means, _ = read(
        pipe, lambda: pipe(RED, negative_prompt=negative, num_inference_steps=2, latents=noise(0))
    )
    alone, _ = read(
        pipe, lambda: pipe(RED, guidance_scale=1.0, num_inference_steps=2, latents=noise(0))
    )
    np.testing.assert_allclose(means[:, 0], alone[:, 0], atol=1e-4)


@pytest.mark.parametrize("build", [tiny_sd, tiny_sdxl])
def test_inference_mode_changes_nothing(build):
    pipe = build()

    def run():
        return pipe(RED, latents=noise(0), num_inference_steps=3, output_type="latent").images

    expected = read(pipe, run, weakened(pipe))
    with torch.inference_mode():
        inferred = read(pipe, run, weakened(pipe))
    np.testing.assert_array_equal(inferred[0], expected[0])
    assert torch.equal(inferred[1], expected[1])


def test_an_edit_of_given_states_is_refused(pipe):
    states = texts(pipe)["prompt"]
    with (
        pytest.raises(TokenError, match="prompt_embeds have columns without names"),
        attach(pipe, weakened(pipe), prompts=RED, given=states),
    ):
        raise AssertionError("the block must not run")


def test_text_states_are_let_go_when_the_block_ends(pipe):
    kept = []
    pipe.text_encoder.register_forward_hook(
        lambda _, __, output: kept.append(weakref.ref(output.last_hidden_state))
    )
    with attach(pipe, TokenMeans(), prompts=RED) as session:
        pipe(RED, num_inference_steps=2)
    gc.collect()
    assert len(kept) == 2
    assert [one() for one in kept] == [None, None]
    assert session.tokens[0][2].word == "red"


def test_nested_taps_see_outer_edits_and_outer_taps_refuse_inner_injections(pipe):
    pair = [RED, "a blue car"]
    edit = Injection([Aligned(np.eye(20), [2], [])], cross_share=1.0)

    def run():
        return pipe(pair, latents=noise(0, 0), num_inference_steps=2, output_type="latent").images

    together, _ = read(pipe, run, edit, prompts=pair)
    with attach(pipe, edit, prompts=pair):
        nested, _ = read(pipe, run, prompts=pair)
    np.testing.assert_array_equal(nested, together)
    with attach(pipe, TokenMeans(), prompts=pair):
        with (
            pytest.raises(ParameterError, match="give both to one attach"),
            attach(pipe, edit, prompts=pair),
        ):
            raise AssertionError("the block must not run")
        run()
    assert not pipe.unet._forward_pre_hooks


def state_of(pipe):
    """Return all that attach could leave changed in a pipeline."""
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    modules = [module for part in parts for module in part.modules()]
    own, scheduler = vars(pipe), vars(pipe.scheduler)
    plain = (bool, int, float, str, dict, type(None))
    return {
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules],
        "names": [own.keys(), scheduler.keys()],
        "values": [{n: v for n, v in d.items() if isinstance(v, plain)} for d in (own, scheduler)],
        "config": dict(pipe.config),
        "timesteps": str(scheduler["timesteps"]),
    }


def scalings(pipe):
    """Return the strengths of all adapters."""
    return [dict(m.scaling) for m in pipe.unet.modules() if hasattr(m, "scaling")]


FAILING = ("text_encoder", "unet", "vae", "before the run", "never")


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(
    ("build", "fails"),
    [
        *((tiny_sd, fails) for fails in FAILING),
        (tiny_lora, "never"),
        *(pytest.param(tiny_lora, fails, marks=pytest.mark.full) for fails in FAILING[:-1]),
    ],
)
def test_the_pipeline_is_left_as_its_own_call_leaves_it(build, used, fails):
    call = {"num_inference_steps": 2, "output_type": "pt", "guidance_scale": 3.0}
    if build is tiny_lora:
        call["cross_attention_kwargs"] = {"scale": 0.0}

    def fail(*_):
        raise RuntimeError(fails)

    states = []
    for attached in (True, False):
        pipe = build()
        family_of(pipe).encode(pipe, [RED])  # transformers adds hooks of its own, only once
        if used:
            pipe(RED, **call)
        if build is tiny_lora:
            pipe.unet.set_adapters(["default"], [0.7])
        before = scalings(pipe)
        parts = {"text_encoder": pipe.text_encoder, "unet": pipe.unet, "vae": pipe.vae.decoder}
        if fails in parts:
            parts[fails].register_forward_pre_hook(fail)
        own = attach(pipe, weakened(pipe), TokenMeans(), prompts=RED)
        with suppress(RuntimeError), own if attached else nullcontext():
            if fails == "before the run":
                fail()
            pipe(RED, **call)
        if attached:
            assert scalings(pipe) == before
        states.append(state_of(pipe))
    assert states[0] == states[1]


def test_two_generations_one_after_the_other_are_two_blocks(pipe):
    first = read(pipe, lambda: pipe(RED, latents=noise(0), num_inference_steps=3))
    second = read(pipe, lambda: pipe(RED, latents=noise(0), num_inference_steps=3))
    np.testing.assert_array_equal(first[0], second[0])


def test_a_generation_after_an_interrupted_one_is_a_second_one(pipe):
    def stop(pipe, step, timestep, given):
        pipe._interrupt = step == 0
        return given

    with (
        pytest.raises(ParameterError, match="a second generation began"),
        attach(pipe, TokenMeans(), prompts=RED),
    ):
        pipe(RED, num_inference_steps=4, callback_on_step_end=stop)
        pipe(RED, num_inference_steps=4)


@pytest.mark.parametrize("build", [tiny_sd, tiny_sd3])
def test_what_was_read_goes_with_the_last_reference_to_it(build):
    pipe = build()
    pipe.set_progress_bar_config(disable=True)
    call = {"num_inference_steps": 1, "output_type": "latent"}
    gc.collect()
    gc.disable()
    try:
        with attach(pipe, TokenMeans(), prompts=RED) as session:
            pipe(RED, **call, **family_of(pipe).encoding(pipe, call))
        kept = weakref.ref(session)
        del session
        assert kept() is None
    finally:
        gc.enable()
