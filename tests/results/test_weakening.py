"""The studies that weaken heads, each run whole on a tiny model."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from hrvlab.experiments.ablations.conditions import VOTING_RULES, variants
from hrvlab.experiments.ablations.study import AblationSetting
from hrvlab.experiments.ablations.trial import by_variant
from hrvlab.experiments.head_effects.agreement import agreement_by_concept, vectors_and_baselines
from hrvlab.experiments.head_effects.study import HeadEffectsSetting
from hrvlab.experiments.study import CommonSetting
from hrvlab.experiments.weakening.curves import gaps
from hrvlab.experiments.weakening.study import SHOWN, WeakeningSetting
from hrvlab.relevance.vectors import relevance
from hrvlab.results.check import check_result
from hrvlab.results.make import make_result, read_result, result_for
from hrvlab.results.registry import find_study
from hrvlab.statistics import mean_with_interval
from tests.pipelines import tiny_sd
from tests.scores import Brightness, Redness

CONCEPTS = "concepts: {Color: [red, blue, green], Animals: [cat, dog]}"
NAMES = ("votes", "weakening", "head-effects", "voting-rules", "ablations")
CASES = """
concepts:
  Color: {template: "a {word} {noun}", words: [red, blue, green], dev: [green], nouns: [car]}
  Animals: {template: "a photo of a {word}{noun}", words: [cat, dog], nouns: [""]}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The shipped studies as they are, only smaller, on a tiny pipeline."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "concepts.yaml").write_text(CONCEPTS)
    (folder / "cases.yaml").write_text(CASES)
    (folder / "prompts.txt").write_text("a red car\na blue cat\na dog\na green tree\n")
    common = {
        "concepts": folder / "concepts.yaml",
        "prompts": folder / "prompts.txt",
        "evaluators": lambda: {"judge": Brightness(), "CLIP": Redness()},
        "steps": 3,
        "progress": False,
    }
    given = {**common, "cases": folder / "cases.yaml", "prompts_each": 2}
    ablation = AblationSetting(**given, rule_prompts=2, ablated=("Color",), cuts=(3,), draws=1)
    settings = {
        "votes": CommonSetting(**common),
        "weakening": WeakeningSetting(**given, cuts=(2, 5), draws=1),
        "head-effects": HeadEffectsSetting(**{**given, "steps": 1}),
        "voting-rules": ablation,
        "ablations": ablation,
    }
    pipe = tiny_sd()
    studies = {
        name: replace(find_study(name), run=partial(find_study(name).run, setting=setting))
        for name, setting in settings.items()
    }
    for study in studies.values():
        make_result(study, pipe, folder / "work", folder / "results")
    return folder / "results", studies


def test_every_study_runs_unattended_and_its_result_is_read(made):
    results, _ = made
    votes, weakened, effects, rules, ablated = (read_result(name, results).data for name in NAMES)
    assert dict(weakened["score"].sizes) == {
        "concept": 2, "evaluator": 2, "order": 3, "weakened": 4, "prompt": 2, "seed": 2
    }  # fmt: skip
    assert dict(effects["effect"].sizes) == {
        "concept": 2, "evaluator": 2, "head_position": 8, "prompt": 2, "seed": 2
    }  # fmt: skip
    assert list(rules["voting_rule"].values) == list(VOTING_RULES)
    assert ablated.sizes["part"] == len(VOTING_RULES) + len(variants(3))
    found = agreement_by_concept(effects, vectors_and_baselines(effects, relevance(votes)))
    assert np.isfinite(found["correlation"]).all()
    assert dict(mean_with_interval(gaps(weakened))["low"].sizes) == {
        "kind": 2, "concept": 2, "evaluator": 2
    }  # fmt: skip


def test_no_word_on_which_settings_may_be_chosen_is_tested(made):
    results, _ = made
    weakened = read_result("weakening", results).data
    assert "green" not in weakened["text"].values
    assert list(weakened["seed"].values) == [0, 1]


def test_the_images_that_chapters_show_ship(made):
    results, _ = made
    weakened = read_result("weakening", results)
    strips = weakened.data["image"].sel(order=list(SHOWN)).isel(prompt=0, seed=0)
    assert weakened.images(strips).shape[0] == strips.size


def test_ablations_are_arranged_by_concept_and_variant(made):
    results, _ = made
    ablated = read_result("ablations", results).data
    arranged = by_variant(ablated)
    assert list(arranged["variant"].values[: len(variants(3))]) == list(variants(3))
    for part in ablated["part"].values:
        concept, variant = part.split(", ", 1)
        np.testing.assert_array_equal(
            arranged["score"].sel(concept=concept, variant=variant).transpose("evaluator", ...),
            ablated["score"].sel(part=part).transpose("evaluator", ...),
        )


def test_a_result_is_only_for_the_model_it_was_made_with(made):
    results, _ = made
    assert result_for(tiny_sd(), "weakening", results) is not None
    assert result_for(tiny_sd(seed=1), "weakening", results) is None
    assert result_for(tiny_sd(), "neglect", results) is None


@pytest.mark.parametrize("name", NAMES)
def test_units_computed_again_agree_with_those_that_ship(made, name):
    results, studies = made
    compared = check_result(studies[name], tiny_sd(), results, share=0.2)
    assert compared
    assert all(one.agrees for one in compared)
