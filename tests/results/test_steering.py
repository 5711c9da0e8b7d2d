"""The studies of steering, each run whole on a tiny model."""

from dataclasses import replace
from functools import partial

import pytest

from hrvlab.experiments.pictures import read_images
from hrvlab.results.check import check_result
from hrvlab.results.polysemy import CHOSEN
from hrvlab.results.setting import SHIPPED, Setting
from hrvlab.results.studies import STUDIES
from hrvlab.results.study import make_result, read_result, result_for
from tests.experiments.test_weakening import Brightness
from tests.pipelines import tiny_sd

CONCEPTS = "concepts: {Color: [red, blue], Plants: [rose, tree]}"
CASES = """
cases:
  - {prompt: a rose vase, word: rose, wanted: red, unwanted: tree, toward: Color, away: Plants,
     reworded: a red vase, split: test}
  - {prompt: a rose, word: rose, wanted: red, unwanted: rose tree, toward: Color, away: Plants,
     reworded: a red, split: test}
  - {prompt: a blue car, word: blue, wanted: car, unwanted: cat, toward: Color, away: Plants,
     reworded: a car, split: dev}
"""
REPLACEMENTS = """
cases:
  - {source: a red car, target: a blue car, noun: car, thing: car, wanted: blue, concept: Color}
  - {source: a red cat, target: a blue cat, noun: cat, thing: cat, wanted: blue, concept: Color}
  - {source: a red tree, target: a blue tree, noun: tree, thing: tree, wanted: blue,
     concept: Color, split: dev}
"""
PAIRS = """
concepts: {Color: [red, car], Plants: [tree, rose]}
sections:
  things: [car tree, red rose]
  "things, dev": [car rose]
"""


class Darkness(Brightness):
    name = "darkness"

    def __call__(self, images, texts):
        return -super().__call__(images, texts)


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    contents = {
        "concepts": CONCEPTS,
        "prompts": "prompts: [a red car, a rose]",
        "words": CASES,
        "replacements": REPLACEMENTS,
        "pairs": PAIRS,
    }
    for name, content in contents.items():
        (folder / f"{name}.yaml").write_text(content)
    return Setting(
        **{name: folder / f"{name}.yaml" for name in contents},
        witnesses=lambda: {"bright": Brightness(), "dark": Darkness()},
        steps=2,
        tuned_seeds=(100,),
        shown_seeds=(0, 3),
        strengths=(0.5,),
        edited_seeds=(100,),
        pair_witnesses=lambda: {"bright": Brightness(), "dark": Darkness()},
        sections=("things",),
        pairs_each=2,
        sides=(0.5,),
        step_sizes=(1.0, 3000.0),
        excited_seeds=(100,),
        progress=False,
    )


@pytest.fixture(scope="module")
def made(pipe, setting, tmp_path_factory):
    """Every study's result, in the order of the table."""
    work, results = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("results")
    for study in studies(setting).values():
        make_result(study, pipe, work, results)
    return results


def studies(setting):
    names = (
        "votes",
        "polysemy-tuning",
        "polysemy",
        "editing-tuning",
        "editing",
        "neglect-tuning",
        "neglect",
    )
    return {
        name: replace(STUDIES[name], run=partial(STUDIES[name].run, setting=setting))
        for name in names
    }


def test_settings_are_tried_on_words_that_are_not_shown(made):
    tuning, shown = read_result("polysemy-tuning", made), read_result("polysemy", made)
    assert not set(tuning["word"].values) & set(shown["word"].values)
    assert not set(tuning["seed"].values) & set(shown["seed"].values)
    (chosen,) = [arm for arm in shown["arm"].values if arm.startswith(CHOSEN)]
    assert chosen.removeprefix(CHOSEN) in tuning["arm"].values
    assert shown["witness"].values.tolist() == ["bright", "dark"]


@pytest.mark.parametrize(
    ("name", "subject", "baseline", "gained"),
    [("polysemy", "adjusting", "plain", "margin"), ("editing", "P2P-HRV × 1", "P2P", "reached")],
)
def test_the_pictures_of_the_best_and_the_worst_case_ship(made, name, subject, baseline, gained):
    result = read_result(name, made)
    first = result[gained].isel(witness=0)
    order = (first.sel(arm=subject) - first.sel(arm=baseline)).mean("seed").values.argsort()
    shown = result["image"].isel(prompt=[order[-1], order[0]])
    assert len(read_images(result, shown)) == shown.size


def test_edits_are_shown_over_strength_for_both_witnesses(made):
    result = read_result("editing", made)
    assert {f"P2P-HRV × {s}" for s in ("0", "0.5", "1")} <= set(result["arm"].values)
    assert result["kept"].dims == ("witness", "arm", "prompt", "seed")
    assert result["moved"].dims == ("arm", "prompt", "seed")
    assert len(read_images(result, result["source_image"])) == 4


def test_settings_of_attend_and_excite_are_chosen_with_and_without_vectors(made):
    tuning, shown = read_result("neglect-tuning", made), read_result("neglect", made)
    assert tuning["vectors"].values.tolist() == ["with vectors", "without vectors"]
    assert tuning["arm"].values.tolist() == ["side 0.5, step 1", "side 0.5, step 3000"]
    assert not set(tuning["prompt_text"].values.ravel()) & set(shown["prompt_text"].values.ravel())
    assert not set(tuning["seed"].values) & set(shown["seed"].values)


def test_pairs_that_the_vectors_helped_most_and_least_ship(made):
    result = read_result("neglect", made)
    worse = result["score"].isel(witness=0).min("half").mean("seed")
    order = (worse.sel(arm="A&E-HRV") - worse.sel(arm="r ≡ 1")).values.argsort()
    shown = result["image"].isel(prompt=[order[-1], order[0]])
    assert len(read_images(result, shown)) == shown.size


def test_other_settings_of_edits_are_tried_on_words_that_are_not_shown(made):
    tuning, shown = read_result("editing-tuning", made), read_result("editing", made)
    assert not set(tuning["prompt_text"].values) & set(shown["prompt_text"].values)
    assert not set(tuning["seed"].values) & set(shown["seed"].values)
    assert {"P2P", "P2P-HRV", "× 2", "up only", "top 8", "cross 0.2"} <= set(tuning["arm"].values)


@pytest.mark.parametrize("name", ["polysemy", "editing", "neglect"])
def test_units_computed_anew_agree(made, pipe, setting, name):
    compared = check_result(studies(setting)[name], pipe, made, share=0.1)
    assert compared
    assert all(one.agrees for one in compared)


def test_what_ships_is_at_full_scale():
    assert min(len(SHIPPED.shown_seeds), len(SHIPPED.tuned_seeds)) == 8
    assert not set(SHIPPED.shown_seeds) & {
        *SHIPPED.tuned_seeds,
        *SHIPPED.edited_seeds,
        *SHIPPED.excited_seeds,
    }
    assert len(SHIPPED.sections) * SHIPPED.pairs_each == 24


def test_a_result_is_for_the_model_that_made_it(made, pipe):
    assert result_for(pipe, "polysemy", made) is not None
    assert result_for(tiny_sd(seed=1), "polysemy", made) is None
    assert result_for(pipe, "other", made) is None
