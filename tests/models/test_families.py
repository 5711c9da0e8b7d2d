import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from hrvlab.errors import ModelError
from hrvlab.models.families import family_of


def test_each_word_is_encoded_alone(tiny_pipe):
    encodings = family_of(tiny_pipe).encode_words(tiny_pipe, ["Red", "blue cat"])
    assert [len(rows) for rows in encodings.content] == [1, 2]
    ids = tiny_pipe.tokenizer("blue cat", return_tensors="pt").input_ids
    with torch.no_grad():
        states = tiny_pipe.text_encoder(ids).last_hidden_state[0]
    torch.testing.assert_close(encodings.start, states[0])
    torch.testing.assert_close(encodings.content[1], states[1:3])


def test_capitals_do_not_matter(tiny_pipe):
    one, other = family_of(tiny_pipe).encode_words(tiny_pipe, ["RED", "red"]).content
    assert torch.equal(one, other)


def test_another_kind_of_pipeline_is_refused_with_the_supported_ones():
    unet = UNet2DModel(sample_size=8, block_out_channels=(32,) * 4)
    with pytest.raises(ModelError, match="DDPMPipeline is not supported.*StableDiffusionPipeline"):
        family_of(DDPMPipeline(unet, DDPMScheduler()))
