"""Pipelines that were changed before attach: each works, or is refused with the remedy."""

import numpy as np
import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers.models.attention_processor import (
    AttnProcessor,
    CustomDiffusionAttnProcessor,
)

from hrvlab.attention import ConceptVotes, Injection, Rescale, TokenMeans, attach
from hrvlab.errors import CoverageError, ModelError
from hrvlab.models.alignment import Aligned
from hrvlab.models.heads import cross_attention_layers, head_table
from hrvlab.models.load import fingerprint
from tests.pipelines import TINY, add_ip_adapter, tiny_lora, tiny_sd, tiny_sdxl

PROMPTS = ["a red car"]


def run(pipe, **call):
    call = {"num_inference_steps": 2, "output_type": "latent"} | call
    return pipe(PROMPTS, generator=torch.Generator().manual_seed(0), **call).images


def weakened(pipe):
    return Rescale(np.full(head_table(pipe.unet).sizes["head_position"], -2.0))


def what_attach_does(pipe, concepts, **call):
    """Return the image under an edit, the taps' results, and the image under taps."""
    with attach(pipe, weakened(pipe), prompts=PROMPTS):
        edited = run(pipe, **call)
    counts = [len(words) for words in concepts.words]
    votes = ConceptVotes(
        concepts.encode(pipe), counts, lambda _, layers, n: np.zeros((layers, n, 3), int)
    )
    means = TokenMeans()
    with attach(pipe, means, votes):
        tapped = run(pipe, **call)
    return edited, means.result(), votes.result()[0], tapped


def sliced(pipe):
    pipe.enable_attention_slicing(1)


def plain_processors(pipe):
    pipe.unet.set_attn_processor(AttnProcessor())


def native_backend(pipe):
    pipe.unet.set_attention_backend("native")


def wrapped_by_compile(pipe):
    pipe.unet = torch.compile(pipe.unet, backend="eager")


def compiled_in_place(pipe):
    pipe.unet.compile(backend="eager")


def compiled_blocks(pipe):
    for block in pipe.unet.down_blocks:
        block.compile(backend="eager")


def offloaded_models(pipe):
    # As enable_model_cpu_offload does on a machine with an accelerator.
    cpu_offload_with_hook(pipe.text_encoder, torch.device("cpu"))
    cpu_offload_with_hook(pipe.unet, torch.device("cpu"))


def offloaded_layers(pipe):
    # As enable_sequential_cpu_offload does; the weights then lie on the meta device.
    cpu_offload(pipe.unet, torch.device("cpu"))


def fused_and_unfused(pipe):
    pipe.fuse_qkv_projections()
    pipe.unfuse_qkv_projections()


@pytest.mark.parametrize(
    "prepare",
    [
        sliced,
        plain_processors,
        native_backend,
        wrapped_by_compile,
        compiled_in_place,
        compiled_blocks,
        offloaded_models,
        offloaded_layers,
        fused_and_unfused,
    ],
)
def test_a_prepared_model_is_read_and_edited_as_the_plain_one(prepare, concepts):
    pipe = tiny_sd()
    expected = what_attach_does(pipe, concepts)
    prepare(pipe)
    plain = run(pipe)
    edited, means, votes, tapped = what_attach_does(pipe, concepts)
    torch.testing.assert_close(edited, expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(means, expected[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(votes, expected[2])
    assert torch.equal(tapped, plain)
    assert torch.equal(run(pipe), plain)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "prepare", [wrapped_by_compile, offloaded_layers, native_backend, fused_and_unfused]
)
def test_preparing_a_model_does_not_change_its_fingerprint(prepare):
    pipe = tiny_sd()
    before = fingerprint(pipe)
    prepare(pipe)
    assert fingerprint(pipe) == before
    assert head_table(pipe.unet).identical(head_table(tiny_sd().unet))


def test_fused_projections_are_refused_with_the_remedy():
    pipe = tiny_sd()
    pipe.fuse_qkv_projections()
    with (
        pytest.raises(ModelError, match="call pipe.unfuse_qkv_projections"),
        attach(pipe, TokenMeans()),
    ):
        raise AssertionError("the block must not run")


def test_a_processor_with_projections_of_its_own_is_an_error():
    pipe = tiny_sd()
    for layer in cross_attention_layers(pipe.unet):
        module = pipe.unet.get_submodule(layer.module)
        own = CustomDiffusionAttnProcessor(True, False, module.inner_dim, 16)
        module.set_processor(own)
    with (
        pytest.raises(CoverageError, match="set_default_attn_processor"),
        attach(pipe, TokenMeans()),
    ):
        run(pipe)


def test_a_loaded_lora_is_part_of_the_attention_that_is_read():
    pipe, base = tiny_lora(), TINY["sdxl"].build()
    means = {}
    for name, one in (("lora", pipe), ("base", base)):
        tap = TokenMeans()
        with attach(one, tap):
            run(one)
        means[name] = tap.result()
    assert np.nanmax(np.abs(means["lora"] - means["base"])) > 1e-3
    pipe.unet.fuse_lora()  # the same weights, without the wrappers' own sums
    tap = TokenMeans()
    with attach(pipe, tap):
        run(pipe)
    np.testing.assert_allclose(tap.result(), means["lora"], rtol=1e-2, atol=1e-3)


def test_a_lora_and_its_strength_make_another_model():
    pipe = tiny_lora()
    full = fingerprint(pipe)
    pipe.unet.set_adapters(["default"], [0.5])
    half = fingerprint(pipe)
    assert len({full, half, fingerprint(tiny_sdxl())}) == 3
    pipe.unet.set_adapters(["default"], [1.0])
    assert fingerprint(pipe) == full


def with_ip_adapter(scale):
    """Return a pipeline with an image prompt of 4 tokens, and the keywords of its call."""
    pipe = add_ip_adapter(tiny_sd(), scale)
    return pipe, {"ip_adapter_image_embeds": [torch.randn(2, 1, 8)]}


def test_an_image_prompt_is_neither_read_nor_edited(concepts):
    expected = what_attach_does(tiny_sd(), concepts)
    silent, call = with_ip_adapter(scale=0.0)
    edited, means, votes, _ = what_attach_does(silent, concepts, **call)
    torch.testing.assert_close(edited, expected[0])
    np.testing.assert_allclose(means, expected[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(votes, expected[2])
    loud, call = with_ip_adapter(scale=1.0)
    *_, tapped = what_attach_does(loud, concepts, **call)
    assert torch.equal(tapped, run(loud, **call))
    assert not torch.equal(tapped, expected[3])
    assert len({fingerprint(pipe) for pipe in (silent, loud, tiny_sd())}) == 3


def test_injection_with_an_image_prompt_is_refused_with_the_remedy():
    pipe, _ = with_ip_adapter(scale=1.0)
    edit = Injection([Aligned(np.eye(20), [], [])], cross_share=1.0)
    with (
        pytest.raises(ModelError, match="call pipe.unload_ip_adapter"),
        attach(pipe, edit, prompts=["a red car", "a blue car"]),
    ):
        raise AssertionError("the block must not run")
