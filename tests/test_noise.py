import numpy as np
import pytest
import torch

from hrvlab.errors import ParameterError
from hrvlab.noise import as_seeds, initial_noise


def test_initial_noise_has_the_model_s_dtype(tiny_pipe):
    assert initial_noise(tiny_pipe.to(torch.bfloat16), [0], 0).dtype == torch.bfloat16


@pytest.mark.parametrize("seeds", [3, np.int64(3), [3], np.array([3]), range(3, 4)])
def test_seeds_may_be_a_number_or_several_of_any_kind(seeds):
    (seed,) = as_seeds(seeds)
    assert (seed, type(seed)) == (3, int)


@pytest.mark.parametrize("seeds", [-1, [0, -1], 1.5, "3", True, [None]])
def test_what_is_not_a_seed_is_refused(seeds):
    with pytest.raises(ParameterError, match="give integers of 0 or more"):
        as_seeds(seeds)


def test_no_seed_is_refused():
    with pytest.raises(ParameterError, match="list of seeds is empty"):
        as_seeds([])
