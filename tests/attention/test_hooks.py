import numpy as np
import pytest
import torch

from hrvlab.attention import ConceptVotes, Rescale, SpatialMaps, TokenMeans, attach
from hrvlab.errors import CoverageError, ModelError, ParameterError, TokenError
from hrvlab.models.heads import cross_attention_layers
from tests.pipelines import tiny_sd

HEADS = 8


def run(pipe, prompts, **call):
    call = {"num_inference_steps": 3, "output_type": "pt"} | call
    return pipe(list(prompts), generator=torch.Generator().manual_seed(0), **call).images


def hook_count(pipe):
    modules = list(pipe.unet.modules())
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def every_tap(pipe, concepts):
    def draw(call, layer, samples):
        return np.zeros((samples, len(concepts.names)), np.int64)

    downscale = [8 // layer.grid for layer in cross_attention_layers(pipe.unet)]
    votes = ConceptVotes(concepts.encode(pipe), [len(w) for w in concepts.words], draw)
    return TokenMeans(), SpatialMaps([[[2]]], downscale), votes


def test_taps_leave_the_output_bit_identical(tiny_pipe, concepts):
    plain = run(tiny_pipe, ["a red car"])
    with attach(tiny_pipe, *every_tap(tiny_pipe, concepts)):
        tapped = run(tiny_pipe, ["a red car"])
    assert torch.equal(plain, tapped)


def test_everything_is_restored_after_an_exception(tiny_pipe, concepts):
    plain = run(tiny_pipe, ["a red car"])
    before = {name: value.clone() for name, value in tiny_pipe.unet.state_dict().items()}
    hooks = hook_count(tiny_pipe)
    edit = Rescale(np.full(HEADS, -2.0))
    with (
        pytest.raises(RuntimeError, match="in the middle"),
        attach(tiny_pipe, *every_tap(tiny_pipe, concepts), edit, prompts=["a red car"]),
    ):
        run(tiny_pipe, ["a red car"], num_inference_steps=1)
        raise RuntimeError("in the middle")
    assert hook_count(tiny_pipe) == hooks
    assert all(torch.equal(before[k], v) for k, v in tiny_pipe.unet.state_dict().items())
    assert torch.equal(plain, run(tiny_pipe, ["a red car"]))


def test_the_clock_counts_calls_and_keeps_noise_levels(tiny_pipe):
    with attach(tiny_pipe, TokenMeans()) as attachment:
        run(tiny_pipe, ["a red car"], num_inference_steps=50)
    # PNDM calls the UNet twice at its second noise level.
    assert len(attachment.noise_levels) == 51
    assert attachment.noise_levels[:4] == [981, 961, 961, 941]


def test_uneven_head_counts_are_padded_with_nan():
    pipe = tiny_sd(heads=(2, 4))
    tap = TokenMeans()
    with attach(pipe, tap):
        run(pipe, ["a red car"])
    layers = cross_attention_layers(pipe.unet)
    means = tap.result()
    assert sorted({layer.heads for layer in layers}) == [2, 4]
    for layer in layers:
        assert np.isnan(means[:, :, layer.index, layer.heads :]).all()
        assert np.isfinite(means[:, :, layer.index, : layer.heads]).all()


def test_a_layer_that_is_not_called_is_an_error(tiny_pipe):
    layer = cross_attention_layers(tiny_pipe.unet)[1]
    module = tiny_pipe.unet.get_submodule(layer.module)
    with (
        pytest.raises(CoverageError, match="1 of 8 attention projections were not read"),
        attach(tiny_pipe, TokenMeans()),
    ):
        module.to_k = torch.nn.Linear(16, 16, bias=False)
        run(tiny_pipe, ["a red car"])


def test_a_pipeline_that_is_never_run_is_an_error(tiny_pipe):
    with pytest.raises(CoverageError, match="not run inside attach"), attach(tiny_pipe):
        pass


def test_a_second_generation_inside_one_attach_is_an_error(tiny_pipe):
    with (
        pytest.raises(ParameterError, match="second generation"),
        attach(tiny_pipe, TokenMeans()),
    ):
        run(tiny_pipe, ["a red car"])
        run(tiny_pipe, ["a red car"])


def test_fused_projections_are_refused_with_the_remedy(tiny_pipe):
    plain = run(tiny_pipe, ["a red car"])
    tiny_pipe.fuse_qkv_projections()
    with (
        pytest.raises(ModelError, match="unfuse_qkv_projections"),
        attach(tiny_pipe, TokenMeans()),
    ):
        raise AssertionError("the block must not run")
    tiny_pipe.unfuse_qkv_projections()
    with attach(tiny_pipe, TokenMeans()):
        assert torch.equal(run(tiny_pipe, ["a red car"]), plain)


def test_an_edit_without_prompts_is_refused(tiny_pipe):
    edit = Rescale(np.ones(HEADS))
    with pytest.raises(ParameterError, match="needs the prompts"), attach(tiny_pipe, edit):
        run(tiny_pipe, ["a red car"])


def test_an_edit_of_a_word_that_is_not_there_is_refused_before_any_call(tiny_pipe):
    edit = Rescale(np.ones(HEADS), "blue")
    hooks = hook_count(tiny_pipe)
    with (
        pytest.raises(TokenError, match="'blue' is not a word"),
        attach(tiny_pipe, edit, prompts=["a red car"]),
    ):
        raise AssertionError("the block must not run")
    assert hook_count(tiny_pipe) == hooks


def test_an_edit_for_another_number_of_heads_is_refused(tiny_pipe):
    edit = Rescale(np.ones(128))
    with (
        pytest.raises(ParameterError, match="128 head positions, the model has 8"),
        attach(tiny_pipe, edit, prompts=["a red car"]),
    ):
        raise AssertionError("the block must not run")


def test_an_edit_for_other_prompts_than_the_calls_is_refused(tiny_pipe):
    edit = Rescale(np.ones(HEADS))
    prompts = ["a red car", "a blue cat"]
    with (
        pytest.raises(ParameterError, match="not a multiple of the 2 prompts"),
        attach(tiny_pipe, edit, prompts=prompts),
    ):
        run(tiny_pipe, ["a red car"])
