import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from hrvlab.errors import ParameterError, StoreError
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.models.heads import head_table
from hrvlab.relevance.io import write_published
from hrvlab.replication import arrays as published
from hrvlab.replication.arrays import fetch_published, published_table, read_published, read_shares


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
def test_written_vectors_are_read_back(tmp_path, table, concepts, shape):
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


def test_rows_of_another_normalization_are_refused(tmp_path, table, concepts):
    files = save(tmp_path, vectors() / 128, table["label"].values)
    with pytest.raises(
        ParameterError, match="rows of relevance sum to the number of head positions, 128"
    ):
        read_published(*files, table, concepts=concepts)


def test_a_concept_may_lack_votes_only_at_single_calls(tmp_path, table, concepts):
    by_call = vectors((5, 34, 128))
    by_call[2, 3] = np.nan
    files = save(tmp_path, by_call, table["label"].values)
    assert read_published(*files, table, concepts=concepts).isnull().sum() == 128
    files = save(tmp_path, by_call[2], table["label"].values)
    with pytest.raises(ParameterError, match="rows sum to nan"):
        read_published(*files, table, concepts=concepts)


def test_pickled_arrays_are_refused(tmp_path, table, concepts):
    np.save(tmp_path / "vectors.npy", np.array([{}]), allow_pickle=True)
    _, labels = save(tmp_path / "..", vectors(), table["label"].values)
    with pytest.raises(StoreError, match="plain .npy array"):
        read_published(tmp_path / "vectors.npy", labels, table, concepts=concepts)


def test_a_published_name_with_another_content_is_refused(tmp_path, table, concepts):
    path = tmp_path / published.SD
    np.save(path, vectors())
    _, labels = save(tmp_path, vectors(), table["label"].values)
    with pytest.raises(StoreError, match="sha256 differs"):
        read_published(path, labels, table, concepts=concepts)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve a folder on this machine; return the folder and its address."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "served").mkdir()
    handler = partial(QuietHandler, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield tmp_path / "served", f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_published_file_is_downloaded_once(server, monkeypatch):
    folder, url = server
    np.save(folder / published.SD, vectors())
    digest = hashlib.sha256((folder / published.SD).read_bytes()).hexdigest()
    monkeypatch.setitem(published.SHA256, published.SD, digest)
    path = fetch_published(published.SD, url=url)
    np.testing.assert_array_equal(np.load(path), vectors())
    (folder / published.SD).unlink()
    assert fetch_published(published.SD, url=url) == path


def test_a_download_with_another_content_is_refused_and_not_kept(server):
    folder, url = server
    np.save(folder / published.SD, vectors())
    with pytest.raises(StoreError, match="its sha256 differs; download it .* --published FILE"):
        fetch_published(published.SD, url=url)
    assert not list((folder.parent / "cache").rglob("*.npy"))


def test_a_failed_download_explains_how_to_download_by_hand(server):
    _, url = server
    with pytest.raises(StoreError, match="cannot download .*HTTPError.* pass --published"):
        fetch_published(published.SD, url=url)
    with pytest.raises(StoreError, match="cannot download .*ConnectionError.*SNU-DRL/HRV"):
        fetch_published(published.SD, url="http://127.0.0.1:9")


def test_labels_alone_determine_the_table_of_a_model_s_heads(tmp_path, table):
    _, labels = save(tmp_path, vectors(), table["label"].values)
    alone = published_table(labels)
    for name, values in alone.coords.items():
        np.testing.assert_array_equal(values, table[name])


def test_labels_of_another_form_are_refused(tmp_path):
    _, labels = save(tmp_path, vectors(), ["down, layer: 0, head: 0", "up 1 2"])
    with pytest.raises(ParameterError, match="has the label 'up 1 2'"):
        published_table(labels)


def test_shares_of_votes_are_recognized(tmp_path, table, concepts):
    shares = vectors() / vectors().sum(0)
    files = save(tmp_path, shares, table["label"].values)
    with pytest.raises(ParameterError, match="columns sum to 1: these are each concept's shares"):
        read_published(*files, table, concepts=concepts)
    np.testing.assert_allclose(read_shares(files[0]), shares)
