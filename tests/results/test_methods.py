"""The studies of methods, each run whole on a tiny model."""

from dataclasses import replace
from functools import partial

import pytest

from hrvlab.experiments.disambiguation.study import CHOSEN, DisambiguationSetting
from hrvlab.experiments.editing.study import EditingSetting
from hrvlab.experiments.neglect.study import NeglectSetting
from hrvlab.experiments.study import CommonSetting
from hrvlab.results.check import check_result
from hrvlab.results.make import make_result, read_result, result_for
from hrvlab.results.registry import find_study
from tests.pipelines import tiny_sd
from tests.scores import Brightness, Darkness

CONCEPTS = "concepts: {Color: [red, blue], Plants: [rose, tree]}"
WORDS = """
cases:
  - {prompt: a rose vase, word: rose, wanted: red, unwanted: tree, toward: Color, away: Plants,
     reworded: a red vase, split: test}
  - {prompt: a rose, word: rose, wanted: red, unwanted: rose tree, toward: Color, away: Plants,
     reworded: a red, split: test}
  - {prompt: a blue car, word: blue, wanted: car, unwanted: cat, toward: Color, away: Plants,
     reworded: a car, split: dev}
"""
EDITS = """
cases:
  - {source: a red car, target: a blue car, noun: car, object: car, wanted: blue, concept: Color}
  - {source: a red cat, target: a blue cat, noun: cat, object: cat, wanted: blue, concept: Color}
  - {source: a red tree, target: a blue tree, noun: tree, object: tree, wanted: blue,
     concept: Color, split: dev}
"""
PAIRS = """
concepts: {Color: [red, car], Plants: [tree, rose]}
sections:
  objects: [car tree, red rose]
  "objects, dev": [car rose]
"""


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The shipped studies as they are, only smaller."""
    folder = tmp_path_factory.mktemp("lists")
    contents = {
        "concepts": CONCEPTS,
        "prompts": "prompts: [a red car, a rose]",
        "words": WORDS,
        "edits": EDITS,
        "pairs": PAIRS,
    }
    for name, content in contents.items():
        (folder / f"{name}.yaml").write_text(content)
    common = {
        "concepts": folder / "concepts.yaml",
        "prompts": folder / "prompts.yaml",
        "evaluators": lambda: {"bright": Brightness(), "dark": Darkness()},
        "steps": 2,
        "progress": False,
    }
    given = {**common, "seeds": (0, 3), "tuning_seeds": (100,)}
    words = DisambiguationSetting(**given, cases=folder / "words.yaml")
    edits = EditingSetting(**given, cases=folder / "edits.yaml", strengths=(0.5,))
    pairs = NeglectSetting(
        **given,
        cases=folder / "pairs.yaml",
        sections=("objects",),
        pairs_each=2,
        sides=(0.5,),
        step_sizes=(1.0, 3000.0),
    )
    settings = {
        "votes": CommonSetting(**common),
        "disambiguation-tuning": words,
        "disambiguation": words,
        "editing-tuning": edits,
        "editing": edits,
        "neglect-tuning": pairs,
        "neglect": pairs,
    }
    return {
        name: replace(find_study(name), run=partial(find_study(name).run, setting=setting))
        for name, setting in settings.items()
    }


@pytest.fixture(scope="module")
def made(pipe, studies, tmp_path_factory):
    """Every study's result, in the order of the registry."""
    work, results = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("results")
    for study in studies.values():
        make_result(study, pipe, work, results)
    return results


def read(made, *names):
    return [read_result(name, made).data for name in names]


def test_settings_are_tried_on_words_that_are_not_shown(made):
    tuning, shown = read(made, "disambiguation-tuning", "disambiguation")
    assert not set(tuning["word"].values) & set(shown["word"].values)
    assert not set(tuning["seed"].values) & set(shown["seed"].values)
    (chosen,) = [name for name in shown["condition"].values if name.startswith(CHOSEN)]
    assert chosen.removeprefix(CHOSEN) in tuning["condition"].values
    assert shown["evaluator"].values.tolist() == ["bright", "dark"]


@pytest.mark.parametrize(
    ("name", "subject", "baseline", "gained"),
    [
        ("disambiguation", "adjusting", "plain", "margin"),
        ("editing", "P2P-HRV × 1", "P2P", "target_score"),
    ],
)
def test_the_images_of_the_best_and_the_worst_case_ship(made, name, subject, baseline, gained):
    result = read_result(name, made)
    first = result.data[gained].isel(evaluator=0)
    difference = first.sel(condition=subject) - first.sel(condition=baseline)
    order = difference.mean("seed").values.argsort()
    shown = result.data["image"].isel(prompt=[order[-1], order[0]])
    assert len(result.images(shown)) == shown.size


def test_edits_are_shown_over_strength_for_both_evaluators(made):
    result = read_result("editing", made)
    data = result.data
    assert {f"P2P-HRV × {s}" for s in ("0", "0.5", "1")} <= set(data["condition"].values)
    assert data["preservation"].dims == ("evaluator", "condition", "prompt", "seed")
    assert data["background_change"].dims == ("condition", "prompt", "seed")
    assert len(result.images(data["source_image"])) == 4


def test_settings_of_attend_and_excite_are_chosen_with_and_without_vectors(made):
    tuning, shown = read(made, "neglect-tuning", "neglect")
    assert tuning["vectors"].values.tolist() == ["with vectors", "without vectors"]
    assert tuning["condition"].values.tolist() == ["side 0.5, step 1", "side 0.5, step 3000"]
    assert not set(tuning["prompt_text"].values.ravel()) & set(shown["prompt_text"].values.ravel())
    assert not set(tuning["seed"].values) & set(shown["seed"].values)


def test_pairs_that_the_vectors_helped_most_and_least_ship(made):
    result = read_result("neglect", made)
    assert result.data["section"].values.tolist() == ["objects"]
    data = result.data.isel(section=0)
    worse = data["score"].isel(evaluator=0).min("object").mean("seed")
    order = (worse.sel(condition="A&E-HRV") - worse.sel(condition="r ≡ 1")).values.argsort()
    shown = data["image"].isel(prompt=[order[-1], order[0]])
    assert len(result.images(shown)) == shown.size


def test_other_settings_of_edits_are_tried_on_words_that_are_not_shown(made):
    tuning, shown = read(made, "editing-tuning", "editing")
    assert not set(tuning["prompt_text"].values) & set(shown["prompt_text"].values)
    assert not set(tuning["seed"].values) & set(shown["seed"].values)
    tried = set(tuning["condition"].values)
    assert {"P2P", "P2P-HRV", "× 2", "up only", "top 8", "cross 0.2"} <= tried


@pytest.mark.parametrize("name", ["disambiguation", "editing", "neglect"])
def test_units_computed_again_agree(made, pipe, studies, name):
    compared = check_result(studies[name], pipe, made, share=0.1)
    assert compared
    assert all(one.agrees for one in compared)


def test_what_ships_is_at_full_scale():
    words, edits, pairs = DisambiguationSetting(), EditingSetting(), NeglectSetting()
    assert min(len(words.seeds), len(words.tuning_seeds)) == 8
    assert words.seeds == edits.seeds == pairs.seeds
    assert not set(words.seeds) & {
        *words.tuning_seeds,
        *edits.tuning_seeds,
        *pairs.tuning_seeds,
    }
    assert len(pairs.sections) * pairs.pairs_each == 24


def test_a_result_is_for_the_model_that_made_it(made, pipe):
    assert result_for(pipe, "disambiguation", made) is not None
    assert result_for(tiny_sd(seed=1), "disambiguation", made) is None
    assert result_for(pipe, "weakening", made) is None


@pytest.mark.full
@pytest.mark.parametrize("name", ["disambiguation", "editing", "neglect"])
def test_a_study_runs_at_another_size_and_guidance(pipe, studies, tmp_path, name):
    for needed in ("votes", *find_study(name).needs, name):
        study = studies[needed]
        setting = replace(study.run.keywords["setting"], height=24, width=16, guidance_scale=2.0)
        parts = study.run.func(pipe, tmp_path, setting)
    for part in parts.values():
        images = part.images(part.data["image"].isel(prompt=0))
        assert images.shape[1:] == (24, 16, 3)
        assert part.data.attrs["guidance_scale"] == 2.0
