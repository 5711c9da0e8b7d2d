import numpy as np
import pytest
from diffusers import EulerDiscreteScheduler

import hrvlab as hl
from hrvlab.errors import ModelError, ParameterError, StoreError
from hrvlab.relevance import verify
from hrvlab.relevance.published import write_published
from hrvlab.relevance.verify import collect_as_published, find_published
from tests.pipelines import tiny_sd


def test_the_published_sampler_calls_the_unet_51_times_and_the_own_one_is_given_back(concepts):
    pipe = tiny_sd()
    own = pipe.scheduler = EulerDiscreteScheduler()
    votes = collect_as_published(pipe, concepts, ["a red car"], progress=False)
    assert votes.sizes["timestep"] == 51
    levels = votes["noise_level"].values
    assert levels[:4].tolist() == [981, 961, 961, 941]
    assert levels[-1] == 1
    assert votes.attrs["guidance_scale"] == 7.5
    assert pipe.scheduler is own
    with pytest.raises(ParameterError):
        collect_as_published(pipe, concepts, [], progress=False)
    assert pipe.scheduler is own


def test_the_kind_of_prediction_stays_the_model_s(tiny_pipe):
    tiny_pipe.scheduler = EulerDiscreteScheduler(prediction_type="v_prediction")
    with verify._sampler_as_published(tiny_pipe):
        assert tiny_pipe.scheduler.config.prediction_type == "v_prediction"


def write_mine(pipe, concepts, folder):
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    vectors = hl.relevance_from_array(np.ones((3, heads)), concepts=list(concepts.names), pipe=pipe)
    write_published(vectors, folder, "mine")
    return vectors, folder / "category_vectors_mine.npy"


def test_a_given_file_is_read_with_its_labels_beside_it(tiny_pipe, concepts, tmp_path):
    vectors, file = write_mine(tiny_pipe, concepts, tmp_path)
    np.testing.assert_array_equal(find_published(tiny_pipe, concepts, file), vectors)
    (tmp_path / "head_index_mine.npy").unlink()
    with pytest.raises(StoreError, match="cannot read .*head_index_mine.npy"):
        find_published(tiny_pipe, concepts, file)


def test_vectors_of_single_calls_are_refused(tiny_pipe, concepts, tmp_path):
    vectors, file = write_mine(tiny_pipe, concepts, tmp_path)
    np.save(file, np.stack([vectors.values] * 2))
    with pytest.raises(ParameterError, match="vectors of single calls"):
        find_published(tiny_pipe, concepts, file)


def test_a_model_of_a_size_that_nothing_was_published_for_is_refused(tiny_pipe, concepts):
    with pytest.raises(ModelError, match="nothing was published for a model of 8 head positions"):
        find_published(tiny_pipe, concepts)


def test_the_prompts_are_of_two_kinds_in_turn():
    prompts = hl.read_prompts("verify")
    assert len(prompts) == len(set(prompts)) == 48
    assert all(prompt.startswith("a photo of a ") and prompt[-1] == "." for prompt in prompts[::2])
    assert not any(prompt.startswith("a photo of") for prompt in prompts[1::2])
