from dataclasses import replace

import numpy as np
import pytest

from hrvlab.experiments.ablations import BALLOTS, by_variant, variants
from hrvlab.experiments.agreement import agreement_by_concept, vectors_and_baselines
from hrvlab.experiments.curves import gaps, with_interval
from hrvlab.experiments.pictures import read_images
from hrvlab.relevance.vectors import relevance
from hrvlab.results.check import check_result
from hrvlab.results.setting import SHIPPED
from hrvlab.results.studies import STUDIES
from hrvlab.results.study import make_result, read_result, result_for
from hrvlab.results.weakening import SHOWN
from tests.experiments.test_sweep import Redness
from tests.experiments.test_weakening import Brightness
from tests.pipelines import tiny_sd

CONCEPTS = "concepts: {Color: [red, blue, green], Animals: [cat, dog]}"
NAMES = ("votes", "ballots", "weakening", "effects", "ablations")
BENCHMARK = """
concepts:
  Color: {template: "a {word} {noun}", words: [red, blue, green], dev: [green], nouns: [car]}
  Animals: {template: "a photo of a {word}{noun}", words: [cat, dog], nouns: [""]}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The shipped studies as they are, only smaller, on a tiny pipeline."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "concepts.yaml").write_text(CONCEPTS)
    (folder / "benchmark.yaml").write_text(BENCHMARK)
    (folder / "prompts.txt").write_text("a red car\na blue cat\na dog\na green tree\n")
    tiny = replace(
        SHIPPED,
        concepts=folder / "concepts.yaml",
        prompts=folder / "prompts.txt",
        benchmark=folder / "benchmark.yaml",
        witnesses=lambda: {"judge": Brightness(), "CLIP": Redness()},
        steps=3,
        ballot_prompts=2,
        prompts_each=2,
        cuts=(2, 5),
        draws=1,
        effect_steps=1,
        ablated=("Color",),
        ablation_draws=1,
        ablation_cuts=(3,),
        progress=False,
    )
    pipe = tiny_sd()
    studies = {
        name: replace(
            STUDIES[name], run=lambda pipe, store, run=STUDIES[name].run: run(pipe, store, tiny)
        )
        for name in NAMES
    }
    for study in studies.values():
        make_result(study, pipe, folder / "work", folder / "results")
    return folder / "results", studies


def test_every_study_runs_unattended_and_its_result_is_read(made):
    results, _ = made
    votes, ballots, weakened, effects, ablated = (read_result(name, results) for name in NAMES)
    assert dict(weakened["score"].sizes) == {
        "concept": 2, "witness": 2, "order": 3, "weakened": 4, "prompt": 2, "seed": 2
    }  # fmt: skip
    assert dict(effects["effect"].sizes) == {
        "concept": 2, "witness": 2, "head_position": 8, "prompt": 2, "seed": 2
    }  # fmt: skip
    assert list(ballots["ballot"].values) == list(BALLOTS)
    assert ablated.sizes["part"] == len(BALLOTS) + len(variants(3))
    found = agreement_by_concept(effects, vectors_and_baselines(effects, relevance(votes)))
    assert np.isfinite(found["correlation"]).all()
    assert dict(with_interval(gaps(weakened))["low"].sizes) == {
        "kind": 2, "concept": 2, "witness": 2
    }  # fmt: skip


def test_no_word_on_which_settings_may_be_chosen_is_tested(made):
    results, _ = made
    assert "green" not in read_result("weakening", results)["text"].values
    assert list(read_result("weakening", results)["seed"].values) == [0, 1]


def test_the_pictures_that_chapters_show_ship(made):
    results, _ = made
    weakened = read_result("weakening", results)
    strips = weakened["image"].sel(order=list(SHOWN)).isel(prompt=0, seed=0)
    assert read_images(weakened, strips).shape[0] == strips.size


def test_ablations_are_laid_out_by_concept_and_variant(made):
    results, _ = made
    ablated = read_result("ablations", results)
    laid_out = by_variant(ablated)
    assert list(laid_out["variant"].values[: len(variants(3))]) == list(variants(3))
    for part in ablated["part"].values:
        concept, variant = part.split(", ", 1)
        np.testing.assert_array_equal(
            laid_out["score"].sel(concept=concept, variant=variant).transpose("witness", ...),
            ablated["score"].sel(part=part).transpose("witness", ...),
        )


def test_a_result_is_only_for_the_model_it_was_made_with(made):
    results, _ = made
    assert result_for(tiny_sd(), "weakening", results) is not None
    assert result_for(tiny_sd(seed=1), "weakening", results) is None
    assert result_for(tiny_sd(), "other", results) is None


@pytest.mark.parametrize("name", ["ballots", "weakening", "effects", "ablations"])
def test_units_computed_anew_agree_with_what_ships(made, name):
    results, studies = made
    compared = check_result(studies[name], tiny_sd(), results, share=0.2)
    assert compared
    assert all(one.agrees for one in compared)
