import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, StoreError
from tests.pipelines import tiny_sd

ROOT = Path(__file__).parents[2]
PROMPTS = [f"a {color} {noun}" for color in ("red", "blue") for noun in ("car", "cat", "tree")]
CONCEPTS = {"Color": ["red", "blue"], "Animals": ["cat", "dog"], "Style": ["photo of red"]}
WORDS = ["red", "blue", "green", "cat", "dog", "photo of red", "vase"]
STEPS = {"num_inference_steps": 4, "progress": False, "batch_size": 4}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    store = tmp_path_factory.mktemp("pools")
    hl.record_queries(tiny_sd(), PROMPTS, store=store, positions=4, vocabulary=WORDS, **STEPS)
    return hl.open_pool(store)


def test_relevance_is_a_vector_like_any_other_with_its_interval(pool, tmp_path):
    hrv = pool.relevance(CONCEPTS)
    assert hrv["concept"].values.tolist() == list(CONCEPTS)
    assert np.allclose(hrv.sum("head_position"), hrv.sizes["head_position"])
    assert (hrv["low"] <= hrv).all()
    assert (hrv <= hrv["high"]).all()
    hl.save_relevance(hrv, tmp_path / "hrv.zarr")
    assert hl.load_relevance(tmp_path / "hrv.zarr").equals(hrv)
    hl.strengthen(hrv, "Color", "red")


def test_the_same_question_gets_the_same_bits(pool):
    first, second = (hl.open_pool(pool.folder).relevance(CONCEPTS) for _ in range(2))
    xr.testing.assert_identical(first, second)


def test_a_concept_stands_among_its_rivals(pool):
    rivals = {name: CONCEPTS[name] for name in ("Animals", "Style")}
    alone = pool.relevance({"Color": CONCEPTS["Color"]}, against=rivals)
    together = pool.relevance({**rivals, "Color": CONCEPTS["Color"]})
    xr.testing.assert_equal(alone, together.sel(concept=["Color"]))
    renewed = pool.relevance({"Color": CONCEPTS["Color"]}, against=CONCEPTS)
    assert renewed["concept"].values.tolist() == ["Color"]


def test_a_concept_without_rivals_is_an_error_that_says_why(pool):
    with pytest.raises(ConceptError, match="'Color' alone would get all of them; name rivals"):
        pool.relevance({"Color": ["red", "blue"]})


def test_words_beyond_the_vocabulary_need_the_text_encoder(pool):
    question = {"Color": ["red", "painting"], "Animals": ["cat", "dog"]}
    with pytest.raises(ConceptError, match="no text states of 'painting'.*text encoder"):
        pool.relevance(question)
    assert pool.pipe is None
    with_model = hl.open_pool(pool.folder, tiny_sd())
    assert with_model.relevance(question).sizes["concept"] == 2
    with pytest.raises(ModelError, match="recorded from model"):
        hl.open_pool(pool.folder, tiny_sd(seed=1))


def test_words_that_the_model_encodes_are_those_of_the_vocabulary(pool, tmp_path):
    question = {"Color": ["red", "blue"], "Animals": ["cat", "dog"]}
    few = hl.record_queries(
        tiny_sd(), PROMPTS, store=tmp_path, positions=4, vocabulary=["tree"], **STEPS
    )
    xr.testing.assert_allclose(few.relevance(question), pool.relevance(question), atol=0.2)


def test_the_words_of_a_head_are_ranked_by_the_votes_that_they_win(pool):
    found = pool.head_words("up, layer: 0, head: 1", count=3)
    assert found.sizes["rank"] <= 3
    assert (np.diff(found["share"]) <= 0).all()
    assert (found["low"] <= found["share"]).all()
    assert (found["share"] <= found["high"]).all()
    assert {*found["word"].values.tolist()} <= {*WORDS}
    position = pool.data["label"].values.tolist().index("up, layer: 0, head: 1")
    xr.testing.assert_identical(pool.head_words(position, count=3), found)
    everything = pool.head_words(position, count=len(WORDS))
    assert everything["share"].sum() == pytest.approx(1, abs=0.2)  # each is corrected by itself


def test_words_of_a_head_are_the_votes_of_concepts_of_one_word(tmp_path):
    whole = hl.record_queries(
        tiny_sd(), PROMPTS, store=tmp_path, positions=2**12, vocabulary=WORDS, **STEPS
    )
    words = ["red", "cat", "vase"]
    hrv = whole.relevance({word: [word] for word in words})
    votes = hrv * hrv["votes"] / hrv.sizes["head_position"]
    for position in range(0, hrv.sizes["head_position"], 3):
        found = whole.head_words(position, words)
        for word, share in zip(found["word"].values, found["share"].values, strict=True):
            expected = votes.sel(concept=word).values[position] / votes.values[:, position].sum()
            assert share == pytest.approx(expected, abs=0.05)


def test_heads_of_a_word_are_the_most_relevant_ones(pool):
    found = pool.heads_of("vase", against=CONCEPTS, count=4)
    vector = pool.relevance({"vase": ["vase"]}, against=CONCEPTS).isel(concept=0)
    top = np.argsort(-vector.values, kind="stable")[:4]
    assert found["head_position"].values.tolist() == top.tolist()
    assert found["label"].values.tolist() == vector["label"].values[top].tolist()
    with pytest.raises(ConceptError, match="not a single concept"):
        pool.heads_of(CONCEPTS, against=CONCEPTS)


def test_the_nearest_concept_is_the_one_of_the_same_words(pool):
    found = pool.nearest({"Colors": ["red", "blue"]}, against=CONCEPTS, count=2)
    assert found["concept"].values[0] == "Color"
    assert (np.diff(found["cosine"]) <= 0).all()


def test_a_head_that_is_not_there_is_an_error(pool):
    for head in ("up, layer: 9, head: 0", 999, -1):
        with pytest.raises(ParameterError, match="give a label such as"):
            pool.head_words(head)


def test_a_folder_without_a_pool_is_an_error(tmp_path, pool):
    with pytest.raises(StoreError, match="there is no finished pool"):
        hl.open_pool(tmp_path)
    hl.record_queries(tiny_sd(), PROMPTS[:1], store=pool.folder.parent, vocabulary=WORDS, **STEPS)
    with pytest.raises(StoreError, match="holds 2 pools"):
        hl.open_pool(pool.folder.parent)


def test_a_pool_answers_where_diffusers_and_transformers_are_not_installed(pool):
    program = f"""
        import sys
        for name in ("diffusers", "transformers", "accelerate"):
            sys.modules[name] = None
        import hrvlab as hl
        pool = hl.open_pool({str(pool.folder)!r})
        print(pool.relevance({CONCEPTS!r}).values.tolist())
        print(pool.head_words(0)["word"].values[0])
        print(pool.heads_of("vase", against={CONCEPTS!r})["label"].values[0])
        print(pool.nearest({{"Mine": ["red"]}}, against={CONCEPTS!r})["concept"].values[0])
        print(len(hl.shipped_concepts().names))
        try:
            pool.relevance({{"Mine": ["painting"]}}, against={CONCEPTS!r})
        except ValueError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    vectors, *_, concepts, refused = done.stdout.splitlines()
    assert np.allclose(eval(vectors), pool.relevance(CONCEPTS).values)
    assert concepts == "34"
    assert "need the model's text encoder" in refused
