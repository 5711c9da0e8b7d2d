import numpy as np
import pytest

from hrvlab.errors import StoreError
from hrvlab.relevance import published
from hrvlab.relevance.claims import VOTES_PER_HEAD
from hrvlab.relevance.facts import PublishedArrays, check_facts, facts_table, read_arrays
from tests.published_arrays import write_arrays

TRUE_BY_CONSTRUCTION = {
    "SD 1.4: rows sum to 128, at most off by",
    "SD 1.4's votes: shares of a head sum to 1, off by",
    "shares × 107,100 are",
    "shares × 105,000 are",
    "as relevance, off by",
    "SD 1.4 by call: rows off by",
    "top heads of Color",
    "SDXL: rows sum to 1300, at most off by",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "SHA256", {})
    write_arrays(tmp_path)
    return tmp_path


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
    (folder / published.SDXL).unlink()
    facts = check_facts(read_arrays(folder))
    assert len({fact.claim for fact in facts}) == len(facts)
    for fact in facts:
        assert (fact.agrees is None) == fact.claim.startswith("SDXL")
        assert (fact.found == "") == (fact.agrees is None)


def test_without_votes_what_rests_on_them_stays_open(folder):
    (folder / published.SHARES).unlink()
    left = [fact.claim for fact in check_facts(read_arrays(folder)) if fact.agrees is None]
    assert all(
        "votes" in claim or "shares" in claim or claim == "as relevance, off by" for claim in left
    )
    assert len(left) == 12


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
