import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab import figures
from hrvlab.figures.style import escaped
from hrvlab.relevance.similarity import block_shares, concept_similarity, heads_for_half
from hrvlab.relevance.uncertainty import leading_heads
from tests.pipelines import tiny_sd

# Markup, an entity, TeX and a template, which plotly would all interpret.
HOSTILE = "<b>hostile</b>&lt;$x$%{y}"
SHOWN = "&lt;b>hostile&lt;/b>&amp;lt;&#36;x&#36;&#37;{y}"
# Names that plotly would merge, or read as numbers and dates.
NAMES = ["10", "2", "2020-01-01", "2", HOSTILE]


def summary(**coords):
    mean = xr.DataArray(np.random.default_rng(0).random([len(c) for c in coords.values()]), coords)
    return xr.Dataset({"mean": mean, "low": mean - 0.1, "high": mean + 0.2})


@pytest.fixture(scope="module")
def capture():
    tree = hl.capture(tiny_sd(), "a red car", maps=["red", "car"], num_inference_steps=1)
    by_word = hl.attention_by_word(tree.to_dataset())
    nodes = {
        name: tree[name].to_dataset(inherit=False).assign_coords(map_word=[HOSTILE, "2"])
        for name in tree.children
    }
    parts = ["⟨start⟩", "2", HOSTILE, "10", "⟨end⟩", "⟨padding⟩"]
    return {
        "tree": xr.DataTree.from_dict({"/": tree.to_dataset(), **nodes}),
        "by_word": by_word.assign_coords(part=parts),
    }


@pytest.fixture(scope="module")
def hrv():
    pipe = tiny_sd()
    array = np.random.default_rng(0).random((3, 8)) + 0.1
    vectors = hl.relevance_from_array(array, concepts=["10", "2", HOSTILE], pipe=pipe)
    return vectors.assign_coords(
        votes=("concept", [3, 1, 2]), split_half=("concept", [0.9, 0.8, 0.7])
    )


def labeled(hrv):
    """Build figures of vectors, of concepts and of models."""
    correlation = hrv["split_half"].reset_coords(drop=True)
    agreement = xr.DataArray(np.ones((2, 3)), {"prompts": [4, 8], "concept": hrv["concept"].values})
    share = heads_for_half(hrv) / 8
    return {
        "relevance_map": figures.relevance_map(hrv),
        "top_heads": figures.top_heads(leading_heads(hrv, 3)),
        "vote_counts": figures.vote_counts(hrv),
        "concept_matrix": figures.concept_matrix(concept_similarity(hrv), title=HOSTILE),
        "reliability": figures.reliability(correlation),
        "convergence_curves": figures.convergence_curves(agreement, of=HOSTILE),
        "block_bars": figures.block_bars({HOSTILE: block_shares(hrv)}),
        "concentration": figures.concentration({HOSTILE: share, "2": share}),
    }


def compared():
    """Build figures of conditions, of cases and of weakening."""
    unique = ["10", "2", HOSTILE]
    rates = summary(evaluator=[HOSTILE, "2"], condition=unique)
    by_case = xr.DataArray(np.ones((3, 5)), {"condition": unique, "case": NAMES})
    prompts = by_case.rename(case="prompt").drop_vars("prompt")
    states = xr.DataArray(np.ones((2, 5)), dims=("state", "prompt"))
    found = xr.Dataset({"position": states, "accuracy": states}, {"state": [HOSTILE, "end"]})
    of_prompts = {"prompt_text": ("prompt", NAMES), "wanted": ("prompt", ["x"] * 5)}
    curves = summary(concept=NAMES, kind=["MoRHF"], weakened=[0, 8])
    agreement = summary(evaluator=[HOSTILE, "2"], concept=NAMES, vector=unique)
    ceiling = ("evaluator", "concept"), np.ones((2, 5))
    texts = {"title": HOSTILE}
    return {
        "condition_rates": figures.condition_rates(rates, subject="2", axis=HOSTILE, **texts),
        "condition_matrix": figures.condition_matrix(
            prompts.assign_coords(prompt_text=("prompt", NAMES)), **texts
        ),
        "setting_matrix": figures.setting_matrix(by_case, **texts),
        "trade_off": figures.trade_off(rates, rates, axes=(HOSTILE, HOSTILE), **texts),
        "text_state_positions": figures.text_state_positions(
            found.assign_coords(of_prompts), **texts
        ),
        "weakening_curves": figures.weakening_curves(
            curves.assign_coords(share=("weakened", [0, 1])), **texts
        ),
        "area_gaps": figures.area_gaps(
            summary(evaluator=[HOSTILE, "2"], concept=NAMES, kind=["LeRHF"]),
            panel="evaluator",
            **texts,
        ),
        "causal_agreement": figures.causal_agreement(
            agreement.rename(mean="correlation").assign(ceiling=ceiling)
        ),
    }


def others(capture):
    """Build figures of captures, images and the miniature."""
    images = np.zeros((2, 4, 8, 3), np.uint8)
    counts = {"images": "rendered", "correct": 1, "of": 2, "low": 0.1, "high": 0.9}
    texts = {"title": HOSTILE}
    return {
        "attention_parts": figures.attention_parts(capture["by_word"]),
        "head_timeline": figures.head_timeline(capture["by_word"]),
        "word_overlays": figures.word_overlays(capture["tree"]),
        "image_grid": figures.image_grid(images, [HOSTILE, "2"], **texts),
        "image_table": figures.image_table(images, [HOSTILE], [HOSTILE, "2"], **texts),
        "rates": figures.rates([{"question": HOSTILE, **counts}], **texts),
        "loss_curves": figures.loss_curves({HOSTILE: {"step": [1], "loss": [0.5]}}),
    }


def answers():
    """Build figures of what a pool answers."""
    heads = summary(label=["down, layer: 0, head: 1", HOSTILE]).rename(mean="relevance")
    words = summary(word=["10", "2", HOSTILE]).rename(mean="share").assign_attrs(head=HOSTILE)
    return {
        "head_ranking": figures.head_ranking(heads, HOSTILE),
        "word_ranking": figures.word_ranking(words),
    }


@pytest.fixture(scope="module")
def every(capture, hrv):
    return labeled(hrv) | compared() | answers() | others(capture)


def texts_in(part):
    """List every text of a figure, wherever it stands."""
    if isinstance(part, str):
        return [part]
    if isinstance(part, np.ndarray):
        return texts_in(part.tolist()) if part.dtype.kind in "UO" else []
    if isinstance(part, dict):
        return [text for value in part.values() for text in texts_in(value)]
    return (
        [text for each in part for text in texts_in(each)] if isinstance(part, list | tuple) else []
    )


def test_every_figure_is_tried(every):
    assert set(every) == set(figures.__all__)


@pytest.mark.parametrize("name", figures.__all__)
def test_texts_of_users_are_shown_as_they_are(every, name):
    figure = every[name].to_plotly_json()
    for trace in figure["data"]:
        trace.pop("legendgroup", None)  # is compared, not shown
    found = [text for text in texts_in(figure) if "hostile" in text]
    assert found
    assert all(SHOWN in text for text in found)
    assert not any(HOSTILE in text for text in found)


@pytest.mark.parametrize("name", figures.__all__)
def test_no_axis_merges_names_or_reads_them_as_numbers(every, name):
    figure = every[name]
    for trace in (trace.to_plotly_json() for trace in figure.data):
        for axis in ("x", "y"):
            names = trace.get(axis)
            if names is None or not any(isinstance(each, str) for each in names):
                continue
            number = trace.get(f"{axis}axis", axis).removeprefix(axis)
            assert figure.layout[f"{axis}axis{number}"].type == "category"
            assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("setting_matrix", "xaxis"),
        ("condition_matrix", "yaxis"),
        ("text_state_positions", "yaxis"),
        ("area_gaps", "yaxis"),
        ("causal_agreement", "yaxis"),
    ],
)
def test_equal_names_keep_their_rows(every, name, axis):
    named = every[name].layout[axis]
    assert [text.split(":")[0] for text in named.ticktext] == [escaped(one) for one in NAMES]
    assert list(named.tickvals) == list(range(5))


def test_escaping_leaves_plain_texts_alone():
    assert escaped("a red car, 50 % > 5%") == "a red car, 50 % > 5%"
    assert escaped(HOSTILE) == SHOWN
