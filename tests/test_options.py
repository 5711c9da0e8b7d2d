import inspect
from dataclasses import fields

import pytest

from hrvlab.errors import ParameterError
from hrvlab.models.load import load
from hrvlab.options import HELP, GenerationOptions, LoadOptions, split_scale


def test_load_takes_exactly_the_options_of_loading():
    own = inspect.signature(load).parameters
    assert [name for name in own if name != "model"] == [one.name for one in fields(LoadOptions)]
    assert [own[one.name].default for one in fields(LoadOptions)] == list(
        vars(LoadOptions()).values()
    )


def test_every_option_is_explained():
    assert {*HELP} == {
        one.name for kind in (LoadOptions, GenerationOptions) for one in fields(kind)
    }


def test_only_what_is_set_becomes_a_keyword():
    assert GenerationOptions(20).call == {"num_inference_steps": 20, "batch_size": 8}
    assert GenerationOptions(20, height=64, width=32).call["width"] == 32


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.safetensors", ("a.safetensors", 1.0)),
        ("a.safetensors:0.8", ("a.safetensors", 0.8)),
        ("owner/name:-1", ("owner/name", -1.0)),
        (r"C:\loras\a.safetensors", (r"C:\loras\a.safetensors", 1.0)),
        (r"C:\loras\a.safetensors:2", (r"C:\loras\a.safetensors", 2.0)),
    ],
)
def test_a_scale_may_follow_a_lora(given, expected):
    assert split_scale(given) == expected


@pytest.mark.parametrize("wrong", ["", ":0.8", "a:inf", " :1"])
def test_a_lora_without_a_source_or_a_finite_scale_is_refused(wrong):
    with pytest.raises(ParameterError, match="cannot read the LoRA"):
        LoadOptions(lora=["b.safetensors", wrong])


@pytest.mark.parametrize(
    "wrong",
    [{"height": 4, "width": 8}, {"height": 8, "width": 100}, {"guidance_scale": float("inf")}],
)
def test_sizes_and_guidance_that_cannot_be_are_refused(wrong):
    with pytest.raises(ParameterError, match="give a (multiple of 8|number, such as 7.5)"):
        GenerationOptions(**wrong)


def test_a_side_alone_is_refused_because_diffusers_ignores_it():
    with pytest.raises(ParameterError, match="give height and width together"):
        GenerationOptions(width=64)
