import diffusers
import pytest
import torch

import hrvlab as hl
from hrvlab.attention import attach
from hrvlab.attention.clock import Clock
from hrvlab.attention.running import BETWEEN, running
from hrvlab.errors import ParameterError
from tests.attention.loops import noise, unguided
from tests.pipelines import BETAS, tiny_sd

RED = "a red car"
SCHEDULERS = {
    "DDIMScheduler": {},
    "DDIMInverseScheduler": {},
    "DDPMScheduler": {},
    "DEISMultistepScheduler": {},
    "DPMSolverMultistepScheduler": {},
    "DPMSolverMultistepInverseScheduler": {},
    "DPMSolverSinglestepScheduler": {},
    "EulerAncestralDiscreteScheduler": {},
    "EulerDiscreteScheduler": {},
    "HeunDiscreteScheduler": {},
    "KDPM2AncestralDiscreteScheduler": {},
    "KDPM2DiscreteScheduler": {},
    "KDPM2DiscreteScheduler, Karras": {"use_karras_sigmas": True},
    "LCMScheduler": {},
    "PNDMScheduler": {"skip_prk_steps": True},
    "PNDMScheduler, Runge-Kutta": {},
    "SASolverScheduler": {},
    "UniPCMultistepScheduler": {},
}
EVERYDAY = (
    "HeunDiscreteScheduler",
    "DPMSolverMultistepInverseScheduler",
    "UniPCMultistepScheduler",
)


def with_scheduler(name, cls="StableDiffusionPipeline"):
    scheduler = getattr(diffusers, name.partition(",")[0])(**BETAS, **SCHEDULERS[name])
    parts = tiny_sd().components | {"scheduler": scheduler}
    pipe = getattr(diffusers, cls)(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize(
    "name",
    [one if one in EVERYDAY else pytest.param(one, marks=pytest.mark.full) for one in SCHEDULERS],
)
def test_the_calls_of_every_scheduler_are_counted_and_forecast(name, image):
    if image and name == "DDIMInverseScheduler":
        pytest.skip("it adds no noise to an image")
    kind = "StableDiffusionImg2ImgPipeline" if image else "StableDiffusionPipeline"
    pipe = with_scheduler(name, kind)
    seen = []
    pipe.unet.register_forward_pre_hook(lambda _, args: seen.append(float(args[1])))
    call = {"num_inference_steps": 10, "progress": False}
    if image:
        call |= {"image": torch.rand(1, 3, 16, 16), "strength": 0.6}
    ds = hl.capture(pipe, RED, **call)
    assert ds["scheduler_timestep"].values.tolist() == seen
    seen.clear()
    # The last call is in the window, the one after it is refused before any.
    edit = hl.Rescale([-2.0] * 8, window=(ds.sizes["timestep"] - 1, None))
    hl.generate(pipe, RED, edit=edit, **call)
    assert len(seen) == ds.sizes["timestep"]


def test_a_loop_of_ones_own_counts_the_schedulers_timesteps():
    pipe = with_scheduler("HeunDiscreteScheduler")
    with torch.no_grad(), attach(pipe, prompts=RED) as session:
        states = pipe.encode_prompt(RED, "cpu", 1, False)[0]
        unguided(pipe, states, noise(0), steps=4)
    assert (session.call.index, session.call.calls, session.call.steps) == (6, 7, 4)


def test_a_loop_at_other_timesteps_than_the_schedulers_shows_no_number_of_calls():
    pipe = with_scheduler("DDIMScheduler")
    pipe.scheduler.set_timesteps(10)
    clock = Clock(pipe)
    first, second = pipe.scheduler.timesteps[[0, 2]].tolist()
    assert clock.begin_call(first, None) == 0
    assert (clock.calls, clock.steps) == (10, 10)
    clock.scheduler_timesteps.append(first)
    assert clock.begin_call(second, None) == 1
    assert (clock.calls, clock.steps) == (None, None)


def test_a_loop_of_ones_own_is_not_taken_for_an_earlier_run_of_the_pipeline():
    pipe = tiny_sd()
    pipe(RED, num_inference_steps=2, output_type="latent")
    assert running(pipe) is None
    with torch.no_grad(), attach(pipe, prompts=RED) as session:
        unguided(pipe, pipe.encode_prompt(RED, "cpu", 1, False)[0], noise(0), steps=4)
    assert session.call.calls == 5


def test_the_call_of_a_pipeline_is_found_with_what_it_knows():
    pipe, found = tiny_sd(), []
    pipe.unet.register_forward_pre_hook(lambda *_: found.append(running(pipe)))
    pipe(RED, num_inference_steps=2, output_type="latent")
    pipe(RED, num_inference_steps=2, output_type="latent", guidance_scale=1.0)
    other = diffusers.StableDiffusionPipeline.from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    other(RED, num_inference_steps=2, output_type="latent")
    known = [one and (one.calls, one.guided) for one in found]
    assert known == [(3, True)] * 3 + [(3, False)] * 3 + [None] * 3


def test_only_a_call_that_a_pipelines_own_loop_makes_states_its_step(monkeypatch):
    pipe, found = tiny_sd(), []
    monkeypatch.setattr("hrvlab.attention.running.BETWEEN", (*BETWEEN, __name__))
    pipe.unet.register_forward_pre_hook(lambda *_: found.append(running(pipe).step))

    def call_again(pipe, step, timestep, given):
        states = torch.zeros(1, 20, 16)
        # As by a function of another module.
        exec("unet(latents, timestep, states)", {}, locals() | given | {"unet": pipe.unet})
        return given

    pipe(
        RED,
        num_inference_steps=2,
        guidance_scale=1.0,
        output_type="latent",
        callback_on_step_end=call_again,
    )
    assert found == [0, None, 1, None, 2, None]


def test_a_class_with_a_call_of_its_own_is_a_loop_of_ones_own():
    class Own(diffusers.StableDiffusionPipeline):
        def __call__(self, prompt):
            self._num_timesteps = 2
            own, negative = self.encode_prompt(prompt, "cpu", 1, True)
            # In another order than diffusers'.
            states = torch.cat([own, negative])
            for timestep in (700, 300):
                with torch.no_grad():
                    self.unet(torch.cat([noise(0)] * 2), timestep, encoder_hidden_states=states)

    pipe = Own(**tiny_sd().components, requires_safety_checker=False)
    with attach(pipe, prompts=RED) as session:
        pipe(RED)
    assert session.call.conditional == slice(0, 1)
    with pytest.raises(ParameterError, match="give attach prompts"), attach(pipe):
        pipe(RED)
