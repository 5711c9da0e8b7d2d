import numpy as np
import pytest
from diffusers import EulerDiscreteScheduler

import hrvlab as hl
from hrvlab.errors import ModelError, ParameterError, StoreError
from hrvlab.relevance.io import write_published
from hrvlab.replication import verify
from hrvlab.replication.verify import collect_as_published, find_published, report
from tests.pipelines import tiny_sd
from tests.replication.verification import verdict_on


def test_the_published_sampler_makes_51_denoiser_calls_and_the_own_one_is_restored(concepts):
    pipe = tiny_sd()
    own = pipe.scheduler = EulerDiscreteScheduler()
    votes = collect_as_published(pipe, concepts, ["a red car"], progress=False).data
    assert votes.sizes["timestep"] == 51
    timesteps = votes["scheduler_timestep"].values
    assert timesteps[:4].tolist() == [981, 961, 961, 941]
    assert timesteps[-1] == 1
    assert votes.attrs["guidance_scale"] == 7.5
    assert pipe.scheduler is own
    with pytest.raises(ParameterError):
        collect_as_published(pipe, concepts, [], progress=False)
    assert pipe.scheduler is own


def test_the_prediction_type_stays_the_model_s(tiny_pipe):
    tiny_pipe.scheduler = EulerDiscreteScheduler(prediction_type="v_prediction")
    with verify.published_sampler(tiny_pipe):
        assert tiny_pipe.scheduler.config.prediction_type == "v_prediction"


def write_mine(pipe, concepts, folder):
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    vectors = hl.relevance_from_array(np.ones((3, heads)), concepts=list(concepts.names), pipe=pipe)
    write_published(vectors, folder, "mine")
    return vectors, folder / "category_vectors_mine.npy"


def test_a_given_file_is_read_with_the_labels_in_its_folder(tiny_pipe, concepts, tmp_path):
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


def test_a_model_with_an_unpublished_number_of_heads_is_refused(tiny_pipe, concepts):
    with pytest.raises(ModelError, match="nothing was published for a model of 8 head positions"):
        find_published(tiny_pipe, concepts)


def test_the_prompts_of_the_two_kinds_alternate():
    prompts = hl.read_prompts("verify")
    assert len(prompts) == len(set(prompts)) == 48
    assert all(prompt.startswith("a photo of a ") and prompt[-1] == "." for prompt in prompts[::2])
    assert not any(prompt.startswith("a photo of") for prompt in prompts[1::2])


def test_the_report_holds_the_verdict_the_settings_and_every_concept(votes, published):
    verdict = verdict_on(votes, published)
    page = report(verdict, votes, published)
    assert page.startswith("# Passed: same\n")
    assert "PNDMScheduler, 4 denoiser calls, guidance 7.5" in page
    assert "category_vectors_synthetic.npy" in page
    for concept in votes["concept"].values:
        assert f"| {concept} |" in page
