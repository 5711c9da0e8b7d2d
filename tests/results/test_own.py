"""The studies on a model of the user's own: what they need, and what they make of it."""

import contextlib
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from diffusers import UNet2DConditionModel

from hrvlab import cli
from hrvlab.errors import ParameterError
from hrvlab.results.kept_cases import write_kept_cases
from hrvlab.results.make import read_result, results_path
from hrvlab.results.own import fit_inputs, own_studies
from hrvlab.results.own_settings import check_changes, find_cases, own_setting
from hrvlab.results.registry import STUDIES, find_study
from tests.notebooks.smallest import CONCEPTS, DISAMBIGUATION, EDITING, PROMPTS, WEAKENING
from tests.pipelines import save_tiny_clip, tiny_sd

FEW = [
    ("prompts_each", 2),
    ("seeds_each", 1),
    ("seeds", "[0]"),
    ("tuning_seeds", "[9]"),
    ("cuts", "[4]"),
    ("draws", 1),
    ("rule_prompts", 2),
    ("head-effects.steps", 1),
]


def run(*arguments):
    """Run the command line in this process."""
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        pytest.raises(SystemExit) as ended,
    ):
        patch.setattr(sys, "argv", ["hrvlab", *map(str, arguments)])
        cli.main()
    return SimpleNamespace(exit_code=ended.value.code or 0, output=printed.getvalue())


def write_inputs(folder, pipe):
    """Write a tiny model, a CLIP, and inputs of which no pair has two vectors."""
    pipe.save_pretrained(folder / "model")
    save_tiny_clip(folder / "clip")
    (folder / "concepts.yaml").write_text(CONCEPTS)
    (folder / "prompts.txt").write_text(PROMPTS)
    (folder / "cases").mkdir()
    other = "  Weather: {template: 'a {word} day', words: [red, blue]}"
    (folder / "cases" / "weakening.yaml").write_text(f"concepts:\n  {WEAKENING[11:-1]}\n{other}\n")
    (folder / "cases" / "disambiguation.yaml").write_text(DISAMBIGUATION)
    (folder / "cases" / "editing.yaml").write_text(EDITING)
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("own"), tiny_sd())


def options(inputs, **changes):
    given = {
        "model": inputs / "model",
        "clip": inputs / "clip",
        "concepts": inputs / "concepts.yaml",
        "prompts": inputs / "prompts.txt",
        "cases": inputs / "cases",
        "steps": 3,
        "batch-size": 2,
        **changes,
    }
    few = [text for name, value in FEW for text in ("-p", f"{name}={value}")]
    return [text for name, value in given.items() for text in (f"--{name}", str(value))] + few


@pytest.fixture
def settings(inputs):
    common = {"concepts": inputs / "concepts.yaml", "prompts": inputs / "prompts.txt", "steps": 3}
    cases = find_cases("mine", str(inputs / "cases"))
    few = {"prompts_each": 2}
    return {name: own_setting(find_study(name), common, cases, few) for name in STUDIES}


def test_studies_come_with_those_that_they_need():
    assert own_studies(["weakening"]) == ["votes", "weakening"]
    assert own_studies(["disambiguation"]) == ["votes", "disambiguation-tuning", "disambiguation"]
    assert own_studies() == list(STUDIES)


def test_cases_go_with_the_concepts(tmp_path):
    assert find_cases("published", None)["editing"] == "published"
    assert find_cases("mine.yaml", None)["editing"] == "published"
    assert find_cases("miniature", None)["weakening"] == "miniature"
    assert Path(find_cases("x", str(tmp_path))["neglect"]) == tmp_path / "neglect.yaml"


def test_what_cannot_run_is_left_out_by_name_and_what_was_asked_for_is_refused(settings):
    fit = fit_inputs(list(STUDIES), [], settings)
    assert "weakening leaves out Weather, of which there are no vectors" in fit.notes
    left_out = {note.split(" ")[0] for note in fit.notes if "is left out" in note}
    assert left_out == {"disambiguation-tuning", "editing-tuning", "neglect-tuning", "neglect"}
    assert list(fit.studies) == [name for name in STUDIES if name not in left_out]
    with pytest.raises(ParameterError, match="the study neglect cannot run: there are no cases"):
        fit_inputs(own_studies(["neglect"]), ["neglect"], settings)


def test_parameters_are_of_all_studies_or_of_one(inputs):
    common = {"concepts": "miniature", "prompts": "miniature", "steps": 9}
    cases = find_cases("miniature", None)
    changes = {"cuts": [3, 5], "ablations.draws": 1}
    own = {
        name: own_setting(find_study(name), common, cases, changes)
        for name in ("weakening", "ablations", "head-effects")
    }
    assert (own["weakening"].cuts, own["ablations"].cuts) == ((3, 5), (3, 5))
    assert (own["weakening"].draws, own["ablations"].draws) == (5, 1)
    assert (own["weakening"].steps, own["head-effects"].steps) == (9, 6)
    check_changes(changes)
    with pytest.raises(ParameterError, match=r"no study has a parameter seed; there are: .*draws"):
        check_changes({"seed": 1})
    with pytest.raises(ParameterError, match="draws is 'many'; give a value such as 5"):
        own_setting(find_study("weakening"), common, cases, {"draws": "many"})


def test_kept_cases_have_vectors(inputs, settings, tmp_path):
    from hrvlab.experiments.disambiguation import read_disambiguation

    setting = settings["disambiguation"]
    path = write_kept_cases(setting, tmp_path / "cases" / "words.yaml")
    assert read_disambiguation(path).cases == read_disambiguation(setting.cases).cases


@pytest.fixture(scope="module")
def made(inputs):
    """What the command says, and the folder that it fills."""
    shipped = sorted(results_path().rglob("*.json"))
    before = [path.stat().st_mtime_ns for path in shipped]
    done = run("results", *options(inputs, output=inputs / "mine"))
    assert done.exit_code == 0, done.output
    assert [path.stat().st_mtime_ns for path in shipped] == before
    return done.output, inputs / "mine"


@pytest.mark.full
def test_the_command_says_what_is_left_out_before_it_makes_the_rest(made):
    said, folder = made
    assert said.index("neglect is left out: ") < said.index("made: ")
    results = {path.name for path in (folder / "results").iterdir()}
    assert results == {
        *("votes", "weakening", "head-effects", "voting-rules", "ablations"),
        *("disambiguation", "editing"),
    }
    found = read_result("weakening", folder / "results").data
    assert found["evaluator"].values.tolist() == ["CLIP"]
    assert found.sizes["weakened"] == 3
    conditions = read_result("disambiguation", folder / "results").data["condition"].values
    assert not [name for name in conditions if str(name).startswith("chosen")]


@pytest.mark.full
def test_pages_show_the_results_beside_the_published_numbers(made):
    said, folder = made
    pages = {path.parent.name for path in (folder / "book" / "runs").glob("*/mine.ipynb")}
    assert pages == {"relevance", "weakening", "ablations", "disambiguation", "editing"}
    assert "no page of neglect, which shows the results of neglect" in said
    page = (folder / "book" / "runs" / "disambiguation" / "mine.ipynb").read_text()
    assert "The finished result: 1 prompts" in page
    assert re.search(r"misread, plain \(CLIP\) \| 63.0%", page)


@pytest.mark.full
def test_a_second_run_generates_nothing_and_another_model_is_refused(made, inputs, monkeypatch):
    _, folder = made
    given = options(inputs, output=folder)
    calls = []
    monkeypatch.setattr(UNet2DConditionModel, "forward", lambda *_, **__: calls.append(1))
    again = run("results", "weakening", *given)
    assert (again.exit_code, calls) == (0, []), again.output
    assert "replaced: " in again.output
    assert "unchanged: " in again.output
    tiny_sd(seed=1).save_pretrained(inputs / "other")
    refused = run("results", "votes", *options(inputs, model=inputs / "other", output=folder))
    assert refused.exit_code == 1
    assert "is the result of another model; choose another --output" in refused.output


def test_every_study_is_forecast_without_writing(inputs, tmp_path):
    output = tmp_path / "mine"
    done = run("results", "weakening", *options(inputs, output=output), "--dry-run")
    assert done.exit_code == 0, done.output
    assert re.search(r"^weakening: \d+ .* denoiser calls", done.output, re.M)
    assert not output.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--clip", "x"], "--clip is for a model of your own"),
        (["-p", "draws=1"], "-p is for a model of your own"),
        (["--steps", "3"], "--steps is for a model of your own"),
        (["--model", "miniature"], "needs --output"),
        (["--model", "x", "-o", "y"], "give --clip with a folder or a hub id"),
        (["--model", "x", "-o", "y", "--clip", "z"], "give --concepts"),
        (["--model", "miniature", "-o", str(results_path())], "holds shipped data"),
        (["--model", "miniature", "-o", "y", "-p", "draws"], "write name=value"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_loaded(given, message, monkeypatch):
    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: pytest.fail("it was loaded"))
    done = run("results", *given)
    assert done.exit_code == 1
    assert message in " ".join(done.output.split())


def test_numbers_beside_the_published_ones_are_the_results_own():
    from hrvlab.experiments.published import disambiguation_beside, weakening_beside

    data = read_result("disambiguation").data
    share = float(data["misread"].sel(condition="plain", evaluator="CLIP").mean())
    assert f"| misread, plain (CLIP) | 63.0% | {share:.1%} |" in disambiguation_beside(data)
    curves = read_result("weakening").data
    assert "| Image Style, area gap | 0.0737 | " in weakening_beside(curves)
    other = curves.sel(concept=["Color"])
    assert weakening_beside(other) == "None of what was measured here has a published number."
