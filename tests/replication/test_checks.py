import numpy as np
import pytest

from hrvlab.errors import StoreError
from hrvlab.replication import arrays as published
from hrvlab.replication.checks import PublishedArrays, check_facts, facts_table, read_arrays
from hrvlab.replication.claims import VOTES_PER_HEAD
from tests.replication.published_arrays import write_arrays

TRUE_BY_CONSTRUCTION = {
    "SD 1.4: largest error of a row's sum of 128",
    "SD 1.4: largest error of a head's sum of shares",
    "shares × 107,100",
    "shares × 105,000",
    "normalized shares, largest error",
    "single calls: largest error of a row's sum",
    "top heads of Color",
    "SDXL: largest error of a row's sum of 1300",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "SHA256", {})
    write_arrays(tmp_path)
    return tmp_path


def test_true_claims_agree_and_false_ones_do_not(folder):
    facts = check_facts(read_arrays(folder))
    agreeing = {fact.claim for fact in facts if fact.agrees}
    assert agreeing >= TRUE_BY_CONSTRUCTION
    for claim in ("highest relevance", "votes for Counting", "top heads of Shape"):
        (fact,) = [fact for fact in facts if fact.claim == claim]
        assert fact.agrees is False
        assert fact.found != fact.claimed


def test_findings_are_computed_from_the_arrays(folder):
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


def test_without_the_shares_of_votes_claims_about_them_stay_open(folder):
    (folder / published.SHARES).unlink()
    left = [fact.claim for fact in check_facts(read_arrays(folder)) if fact.agrees is None]
    assert all("votes" in claim or "shares" in claim for claim in left)
    assert len(left) == 12


def test_a_folder_without_published_vectors_is_refused(tmp_path):
    with pytest.raises(StoreError, match="holds neither category_vectors"):
        read_arrays(tmp_path)


def test_a_file_that_differs_from_the_published_one_is_refused(folder, monkeypatch):
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
