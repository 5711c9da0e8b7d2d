import pytest

import hrvlab as hl
from hrvlab.relevance.io import write_published
from hrvlab.replication.arrays import read_published
from tests.replication.verification import OWN, PUBLISHED_PROMPTS, collect


@pytest.fixture(scope="session")
def pipe():
    return hl.load("miniature")


@pytest.fixture(scope="session")
def votes(pipe):
    return collect(pipe, hl.read_prompts("miniature")[OWN], seed=0)


@pytest.fixture(scope="session")
def published(pipe, tmp_path_factory):
    """The miniature's vectors from other prompts and another seed, read from published files."""
    folder = tmp_path_factory.mktemp("published")
    prompts = hl.read_prompts("miniature")
    del prompts[OWN]
    prompts = prompts[:PUBLISHED_PROMPTS]
    write_published(collect(pipe, prompts, seed=1).hrv.relevance(), folder, "synthetic")
    files = (folder / f"{kind}_synthetic.npy" for kind in ("category_vectors", "head_index"))
    return read_published(
        *files, hl.head_table(pipe.unet), concepts=hl.ConceptSet.read("miniature")
    )
