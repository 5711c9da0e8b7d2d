import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from hrvlab.concepts import ConceptSet
from hrvlab.errors import ParameterError, StoreError
from hrvlab.models.heads import head_table
from hrvlab.relevance.published import read_published, write_published

NAME = "epoch_1_to_1_neg_prompt_False_merged_340_final_text_descriptions_sd_v1_4"


@pytest.fixture(scope="module")
def table():
    with torch.device("meta"):
        return head_table(UNet2DConditionModel(sample_size=64, cross_attention_dim=768))


@pytest.fixture
def concepts():
    return ConceptSet.read("published")


def vectors(shape=(34, 128), seed=0):
    values = np.random.default_rng(seed).gamma(1, size=shape).astype(np.float32)
    return values / values.sum(-1, keepdims=True) * shape[-1]


def save(folder, values, labels):
    np.save(folder / "vectors.npy", values)
    np.save(folder / "labels.npy", np.array(labels))
    return folder / "vectors.npy", folder / "labels.npy"


@pytest.mark.parametrize("shape", [(34, 128), (51, 34, 128)])
def test_what_is_written_is_read_back(tmp_path, table, concepts, shape):
    hrv = read_published(
        *save(tmp_path, vectors(shape), table["label"].values), table, concepts=concepts
    )
    write_published(hrv, tmp_path / "out", "mine")
    files = (tmp_path / "out" / f"{kind}_mine.npy" for kind in ("category_vectors", "head_index"))
    again = read_published(*files, table, concepts=concepts)
    np.testing.assert_array_equal(again, hrv)
    assert again.dims == (("timestep",) if len(shape) == 3 else ()) + ("concept", "head_position")


def test_labels_in_another_order_are_refused(tmp_path, table, concepts):
    files = save(tmp_path, vectors(), table["label"].values[::-1])
    with pytest.raises(ParameterError, match="beginning with 'up, layer: 8, head: 7'"):
        read_published(*files, table, concepts=concepts)


def test_another_number_of_concepts_is_refused(tmp_path, table, concepts):
    files = save(tmp_path, vectors((33, 128)), table["label"].values)
    with pytest.raises(ParameterError, match=r"shape \(33, 128\), expected \(34, 128\)"):
        read_published(*files, table, concepts=concepts)


def test_rows_of_another_normalisation_are_refused(tmp_path, table, concepts):
    files = save(tmp_path, vectors() / 128, table["label"].values)
    with pytest.raises(ParameterError, match="rows sum to the number of head positions, 128"):
        read_published(*files, table, concepts=concepts)


def test_pickled_arrays_are_refused(tmp_path, table, concepts):
    np.save(tmp_path / "vectors.npy", np.array([{}]), allow_pickle=True)
    _, labels = save(tmp_path / "..", vectors(), table["label"].values)
    with pytest.raises(StoreError, match="plain .npy array"):
        read_published(tmp_path / "vectors.npy", labels, table, concepts=concepts)


def test_a_published_name_with_another_content_is_refused(tmp_path, table, concepts):
    path = tmp_path / f"category_vectors_{NAME}.npy"
    np.save(path, vectors())
    _, labels = save(tmp_path, vectors(), table["label"].values)
    with pytest.raises(StoreError, match="sha256 differs"):
        read_published(path, labels, table, concepts=concepts)
