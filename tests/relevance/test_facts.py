import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from hrvlab.errors import StoreError
from hrvlab.models.heads import head_table
from hrvlab.relevance import published
from hrvlab.relevance.claims import TOP_HEADS, VOTES_PER_HEAD
from hrvlab.relevance.facts import PublishedArrays, check_facts, facts_table, read_arrays

TRUE_BY_CONSTRUCTION = {
    "SD 1.4: rows sum to 128, at most off by",
    "SD 1.4's votes: shares of a head sum to 1, off by",
    "shares × 107,100 are",
    "shares × 105,000 are",
    "as relevance, off by",
    "SD 1.4 by call: rows off by",
    "top heads of Color",
}


@pytest.fixture(scope="module")
def labels():
    with torch.device("meta"):
        return head_table(UNet2DConditionModel(sample_size=64, cross_attention_dim=768))["label"]


@pytest.fixture
def folder(tmp_path, monkeypatch, labels):
    """Arrays of the published names and shapes, from votes by chance; Color's top heads as told."""
    monkeypatch.setattr(published, "SHA256", {})
    rng = np.random.default_rng(0)
    votes = rng.multinomial(VOTES_PER_HEAD, rng.dirichlet(np.ones(34)), size=128).T
    votes[17] = votes_with_top(TOP_HEADS["Color"], labels.values.tolist())
    # Every head casts as many votes; the commonest concept gives way.
    votes[votes.sum(1).argmax()] += VOTES_PER_HEAD - votes.sum(0)
    shares = votes / VOTES_PER_HEAD
    relevance = shares / shares.sum(1, keepdims=True) * 128
    steps = rng.gamma(1, size=(51, 34, 128))
    steps *= 128 / steps.sum(-1, keepdims=True)
    np.save(tmp_path / published.SHARES, shares)
    np.save(tmp_path / published.SD, relevance.astype(np.float32))
    np.save(tmp_path / published.SD_BY_TIMESTEP, steps.astype(np.float32))
    np.save(tmp_path / published.SD_HEADS, labels.values.astype(np.str_))
    return tmp_path


def votes_with_top(written, labels):
    """128,000 votes of which these heads have most; the others share the rest."""
    votes = np.zeros(128, int)
    for part in written.split(", "):
        place, value = part.split()
        block, layer, head = place.split(".")
        votes[labels.index(f"{block}, layer: {layer}, head: {head}")] = round(1000 * float(value))
    rest = np.flatnonzero(votes == 0)
    votes[rest] = (128_000 - votes.sum()) // len(rest)
    votes[rest[: 128_000 - votes.sum()]] += 1
    return votes


def test_what_is_true_agrees_and_what_is_not_does_not(folder):
    facts = check_facts(read_arrays(folder))
    agreeing = {fact.claim for fact in facts if fact.agrees}
    assert agreeing >= TRUE_BY_CONSTRUCTION
    for claim in ("highest relevance", "votes for Counting", "top heads of Shape"):
        (fact,) = [fact for fact in facts if fact.claim == claim]
        assert fact.agrees is False
        assert fact.found != fact.claimed


def test_what_was_found_is_computed_from_the_arrays(folder):
    facts = {fact.claim: fact for fact in check_facts(read_arrays(folder))}
    relevance = np.load(folder / published.SD)
    assert float(facts["highest relevance"].found) == pytest.approx(relevance.max(), rel=1e-5)
    assert float(facts["relevances of zero"].found) == (relevance == 0).sum()
    shares = np.load(folder / published.SHARES)
    votes = np.round(shares[21].sum() * VOTES_PER_HEAD)
    assert float(facts["votes for Counting"].found) == votes
    half = np.sort(relevance[0])[::-1].cumsum()
    expected = 1 + (half < half[-1] / 2).sum()
    assert facts["heads that hold half of Animals"].found == str(expected)


def test_without_a_file_its_claims_stay_open(folder):
    facts = check_facts(read_arrays(folder))
    sdxl = [fact for fact in facts if fact.claim.startswith("SDXL")]
    assert {(fact.agrees, fact.found) for fact in sdxl} == {(None, "")}
    assert len({fact.claim for fact in facts}) == len(facts)
    (folder / published.SHARES).unlink()
    assert sum(fact.agrees is None for fact in check_facts(read_arrays(folder))) == 3 + 12


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(StoreError, match="holds neither category_vectors"):
        read_arrays(tmp_path)


def test_a_file_that_is_not_the_published_one_is_refused(folder, monkeypatch):
    monkeypatch.setattr(published, "SHA256", {published.SHARES: "0" * 64})
    with pytest.raises(StoreError, match="sha256 differs"):
        read_arrays(folder)


def test_the_table_has_a_row_for_every_claim_and_counts_them(folder):
    facts = check_facts(read_arrays(folder))
    counted, _, *table = facts_table(facts).splitlines()
    assert len(table) == 2 + len(facts)
    agree = sum(fact.agrees is True for fact in facts)
    assert f"Of {len(facts)} claims, {agree} agree" in counted
    empty = facts_table(check_facts(PublishedArrays()))
    assert f"0 agree with the files, 0 do not, and {len(facts)} are open" in empty
