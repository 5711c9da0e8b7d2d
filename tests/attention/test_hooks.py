import numpy as np
import pytest
import torch

import hrvlab as hl
from hrvlab.attention import ConceptVotes, Injection, Rescale, SpatialMaps, TokenMeans, attach
from hrvlab.errors import CoverageError, ModelError, ParameterError, TokenError
from hrvlab.models.alignment import Aligned
from hrvlab.models.heads import cross_attention_layers
from tests.pipelines import TINY

HEADS = 8
PAIR = ["a red car", "a blue car"]


def run(pipe, prompts, **call):
    call = {"num_inference_steps": 3, "output_type": "pt"} | call
    return pipe(list(prompts), generator=torch.Generator().manual_seed(0), **call).images


def hook_count(pipe):
    modules = list(pipe.unet.modules())
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def every_tap(pipe, concepts):
    def draw(call, layers, samples):
        return np.zeros((layers, samples, len(concepts.names)), np.int64)

    downscale = {layer.index: 8 // layer.grid for layer in cross_attention_layers(pipe.unet)}
    votes = ConceptVotes(concepts.encode(pipe), [len(w) for w in concepts.words], draw)
    return TokenMeans(), SpatialMaps([[[2]], [[2]]], downscale), votes


@pytest.mark.parametrize("name", TINY)
def test_taps_leave_the_output_bit_identical(name, concepts):
    pipe, call = TINY[name].build(), TINY[name].call
    plain = run(pipe, PAIR, **call)
    with attach(pipe, *every_tap(pipe, concepts)):
        tapped = run(pipe, PAIR, **call)
    assert torch.equal(plain, tapped)


@pytest.mark.parametrize("name", TINY)
def test_everything_is_restored_after_an_exception(name, concepts):
    pipe, call = TINY[name].build(), TINY[name].call
    plain = run(pipe, PAIR, **call)
    before = {key: value.clone() for key, value in pipe.unet.state_dict().items()}
    hooks = hook_count(pipe)
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    edits = (
        Rescale(np.full(heads, -2.0)),
        Injection([Aligned(np.eye(20), [2], [])], np.ones(heads), 1.0, 1.0),
    )

    def fail(*_):
        raise RuntimeError("in the middle")

    last = pipe.unet.get_submodule(cross_attention_layers(pipe.unet)[-1].module)
    failing = last.to_out[0].register_forward_hook(fail)
    with (
        pytest.raises(RuntimeError, match="in the middle"),
        attach(pipe, *every_tap(pipe, concepts), *edits, prompts=PAIR),
    ):
        run(pipe, PAIR, **call)
    failing.remove()
    assert hook_count(pipe) == hooks
    assert all(torch.equal(before[key], v) for key, v in pipe.unet.state_dict().items())
    assert torch.equal(plain, run(pipe, PAIR, **call))


def test_an_attachment_keeps_the_scheduler_timestep_of_every_call(tiny_pipe):
    with attach(tiny_pipe, TokenMeans()) as attachment:
        run(tiny_pipe, ["a red car"], num_inference_steps=50)
    # PNDM calls the denoiser twice at its second timestep.
    assert len(attachment.scheduler_timesteps) == 51
    assert attachment.scheduler_timesteps[:4] == [981, 961, 961, 941]


@pytest.mark.parametrize(("name", "heads"), [("sd2", [1, 2]), ("sdxl", [2, 4])])
def test_uneven_head_counts_are_padded_with_nan(name, heads):
    pipe = TINY[name].build()
    tap = TokenMeans()
    with attach(pipe, tap):
        run(pipe, ["a red car"])
    layers = cross_attention_layers(pipe.unet)
    means = tap.result()
    assert sorted({layer.heads for layer in layers}) == heads
    for layer in layers:
        assert np.isnan(means[:, :, layer.index, layer.heads :]).all()
        assert np.isfinite(means[:, :, layer.index, : layer.heads]).all()


def test_a_projection_that_is_replaced_within_attach_is_an_error(tiny_pipe):
    layer = cross_attention_layers(tiny_pipe.unet)[1]
    module = tiny_pipe.unet.get_submodule(layer.module)
    with (
        pytest.raises(ModelError, match="1 attention projections were replaced after attach"),
        attach(tiny_pipe, TokenMeans()),
    ):
        module.to_k = torch.nn.Linear(16, 16, bias=False)
        run(tiny_pipe, ["a red car"])


def test_a_pipeline_that_is_never_run_is_an_error(tiny_pipe):
    with pytest.raises(CoverageError, match="not run within attach"), attach(tiny_pipe):
        pass


def test_a_second_generation_inside_one_attach_is_an_error(tiny_pipe):
    with (
        pytest.raises(ParameterError, match="second generation"),
        attach(tiny_pipe, TokenMeans()),
    ):
        run(tiny_pipe, ["a red car"])
        run(tiny_pipe, ["a red car"])


def test_a_second_generation_of_a_single_step_is_an_error():
    pipe, call = TINY["turbo"].build(), {"guidance_scale": 0.0, "num_inference_steps": 1}
    with pytest.raises(ParameterError, match="second generation"), attach(pipe, TokenMeans()):
        run(pipe, ["a red car"], **call)
        run(pipe, ["a red car"], **call)


def test_a_window_after_the_last_call_is_refused(tiny_pipe):
    edit = Rescale(np.ones(HEADS), window=(9, None))
    with (
        pytest.raises(ParameterError, match="begins at denoiser call 9"),
        attach(tiny_pipe, edit, prompts=["a red car"]),
    ):
        run(tiny_pipe, ["a red car"])


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
    with (
        pytest.raises(ParameterError, match="run has other prompts than attach was given"),
        attach(tiny_pipe, edit, prompts=["a red car", "a blue cat"]),
    ):
        run(tiny_pipe, ["a dog"])
