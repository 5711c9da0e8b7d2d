"""The command on other models and cases; what every study takes is what was forecast."""

from time import perf_counter

import numpy as np
import pytest
from diffusers import UNet2DConditionModel
from torch.nn.modules.module import register_module_forward_pre_hook

import hrvlab as hl
from hrvlab.errors import StoreError
from hrvlab.results import make
from hrvlab.results.make import read_result
from hrvlab.results.own_forecast import rehearse_study
from tests.notebooks.smallest import NEGLECT
from tests.pipelines import tiny_sdxl
from tests.results.test_own import FEW, options, run, write_inputs

pytestmark = pytest.mark.full
CLOSE = 1.5
# A few images of every study.
FEWER = {**dict(FEW), "prompts_each": 1, "pairs_each": 1, "sections": "[objects]"}
FEWER |= {"sides": "[1.0]", "step_sizes": "[10.0]"}


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder to work in, without a checkout, so that no pages are made."""

    def none():
        raise StoreError("there is no checkout")

    monkeypatch.setattr("hrvlab.publish.chapters.find_checkout", none)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.txt").write_text("a red car\na cat\na castle on a snowy day\n" * 4)
    return tmp_path


@pytest.fixture
def compared(monkeypatch):
    """What each study was forecast to take before it ran, and what it took."""
    found = {}
    as_it_is = make.make_result

    def compare(study, pipe, work, results, **how):
        # A forecast and its run are two processes elsewhere, here the second would find all warm.
        hl.generate(pipe, "a cat", num_inference_steps=1, progress=False)
        forecast, calls = rehearse_study(pipe, study), []

        def count(module, _):
            if isinstance(module, UNet2DConditionModel):
                calls.append(1)

        handle = register_module_forward_pre_hook(count)
        begun = perf_counter()
        folder = as_it_is(study, pipe, work, results, **how)
        seconds = perf_counter() - begun
        handle.remove()
        files = [path for part in (work / study.name, folder) for path in part.rglob("*")]
        written = sum(path.stat().st_size for path in files if path.is_file())
        found[study.name] = {
            "calls": (forecast.calls, len(calls)),
            "bytes": (forecast.written, written),
            "seconds": (forecast.seconds, seconds),
        }
        return folder

    monkeypatch.setattr(make, "make_result", compare)
    return found


def far(compared, kinds=("calls", "bytes")):
    """List what is not within 1.5 times of what was forecast."""
    return [
        (name, kind, *pair)
        for name, one in compared.items()
        for kind, pair in one.items()
        if kind in kinds and not pair[1] / CLOSE <= pair[0] <= pair[1] * CLOSE
    ]


def run_on_the_miniature(folder, *names, **given):
    more = {"prompts": "few.txt", "steps": 6, "batch-size": 8, **given}
    others = [text for name, value in more.items() for text in (f"--{name}", str(value))]
    few = [text for name, value in FEWER.items() for text in ("-p", f"{name}={value}")]
    done = run("results", *names, "--model", "miniature", "-o", folder / "mine", *others, *few)
    assert done.exit_code == 0, done.output
    assert "no pages" in done.output
    return done.output


def test_the_miniature_runs_its_own_cases_in_the_time_that_was_forecast(outside, compared):
    said = run_on_the_miniature(outside, "weakening")
    assert "left out" not in said
    found, shipped = (read_result("weakening", of).data for of in (outside / "mine/results", None))
    assert found.sizes["concept"] == shipped.sizes["concept"]
    assert np.isfinite(found["score"]).all()
    assert not far(compared, ("calls", "bytes", "seconds"))


def test_the_published_cases_run_with_the_published_concepts(outside, compared):
    said = run_on_the_miniature(outside, "weakening", concepts="published", steps=1)
    assert "left out" not in said
    found = read_result("weakening", outside / "mine/results").data
    assert {"Color", "Geometric Patterns"} <= {*found["concept"].values.tolist()}
    assert found["evaluator"].values.tolist() == ["CLIP"]
    assert not far(compared)


def test_pairs_of_objects_run_on_the_miniature(outside, compared):
    run_on_the_miniature(outside, "neglect", steps=3)
    assert read_result("neglect", outside / "mine/results").data.sizes["section"] == 1
    assert not far(compared)


def test_every_study_runs_on_sdxl(outside, compared):
    inputs = write_inputs(outside, tiny_sdxl())
    (inputs / "cases" / "neglect.yaml").write_text(NEGLECT)
    few = [text for name, value in FEWER.items() for text in ("-p", f"{name}={value}")]
    done = run("results", *options(inputs, output=outside / "mine"), *few)
    assert done.exit_code == 0, done.output
    made = {path.name for path in (outside / "mine/results").iterdir()}
    assert {"votes", "weakening", "disambiguation", "editing", "ablations"} <= made
    assert not far(compared)
