import numpy as np

import hrvlab as hl
from hrvlab.reservoir.pool import Pool
from tests.pipelines import tiny_sd
from timings.asking import CONCEPT, ask, large_pool
from timings.pools import estimated, positions_of, thin

PROMPTS = ["a red car", "a blue cat", "a tree"]
CONCEPTS = hl.ConceptSet.from_dict({"Color": ["red", "blue"], "Animals": ["cat", "dog"]})


def test_a_pool_that_is_not_thinned_out_gives_its_own_estimates(tmp_path):
    pool = hl.record_queries(
        tiny_sd(),
        PROMPTS,
        store=tmp_path,
        calls=None,
        batch_size=2,
        vocabulary=["red", "blue", "cat", "dog"],
        num_inference_steps=4,
        progress=False,
    )
    groups, whole = thin(pool, pool.data.sizes["timestep"], 16)
    found = estimated(pool, CONCEPTS, groups, whole)
    assert (found.value == pool.relevance(CONCEPTS).values).all()
    groups, thinned = thin(pool, 2, 2)
    assert {thinned.shape(group.queries)[1:2] for group in groups} == {(2,)}
    assert all(group.kept <= 2 for group in groups)
    assert np.isfinite(estimated(pool, CONCEPTS, groups, thinned).value).all()
    assert sorted(np.concatenate([positions_of(group) for group in groups])) == list(
        range(pool.data.sizes["head_position"])
    )


def test_a_pool_of_the_shape_of_sdxl_answers(tmp_path):
    folder = large_pool(tmp_path, prompts=8, layers=1)
    pool = hl.open_pool(folder)
    assert isinstance(pool, Pool)
    assert pool.data.sizes["head_position"] == 1300
    found = ask(folder, hl.shipped_concepts())
    assert found["concept"].values.tolist() == list(CONCEPT)
