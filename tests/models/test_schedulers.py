import pytest
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler

import hrvlab as hl
from hrvlab.errors import ParameterError
from hrvlab.models.load import load
from hrvlab.models.schedulers import find_scheduler
from tests.pipelines import tiny_sd


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("DDIMScheduler", DDIMScheduler),
        ("ddim", DDIMScheduler),
        ("euler-ancestral", EulerAncestralDiscreteScheduler),
        ("EulerAncestralDiscrete", EulerAncestralDiscreteScheduler),
        ("dpmsolver", DPMSolverMultistepScheduler),
    ],
)
def test_a_scheduler_is_found_by_its_class_or_a_short_name(name, cls):
    assert find_scheduler(name, "PNDMScheduler") is cls


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eulr", "no scheduler 'eulr'; give EulerDiscreteScheduler"),
        ("FlowMatchEulerDiscreteScheduler", "cannot take the place of this model's PNDMScheduler"),
        ("", "no scheduler ''; give .*DDIMScheduler"),
        ("DPMSolverSDEScheduler", "needs torch, torchsde"),
    ],
)
def test_others_are_refused_with_those_that_are_near_or_fit(name, message):
    with pytest.raises(ParameterError, match=message):
        find_scheduler(name, "PNDMScheduler")


def test_a_model_is_loaded_with_another_scheduler_and_its_own_noise(tmp_path, monkeypatch):
    own = tiny_sd()
    own.save_pretrained(tmp_path)
    pipe = load(tmp_path, scheduler="euler", device="cpu")
    assert pipe.scheduler.config.beta_start == own.scheduler.config.beta_start
    assert pipe.scheduler.config.steps_offset == own.scheduler.config.steps_offset
    images = hl.generate(pipe, "a red car", num_inference_steps=2, progress=False)
    assert images.tolist() != hl.generate(own, "a red car", num_inference_steps=2).tolist()
    monkeypatch.setattr("hrvlab.models.load.load_components", lambda *_: pytest.fail("was read"))
    with pytest.raises(ParameterError, match="no scheduler 'eulr'"):
        load(tmp_path, scheduler="eulr")
