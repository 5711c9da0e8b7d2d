"""Votes and verdicts about the miniature, as if its vectors were published."""

import hrvlab as hl
from hrvlab.replication.diagnosis import diagnose
from hrvlab.replication.verify import collect_as_published

PUBLISHED_PROMPTS = 48
OWN = slice(0, 256, 16)


def collect(pipe, prompts, seed):
    concepts = hl.ConceptSet.read("miniature")
    return collect_as_published(
        pipe, concepts, prompts, seed=seed, steps=3, batch_size=16, progress=False
    ).data


def verdict_on(votes, published):
    return diagnose(votes, published, published_prompts=PUBLISHED_PROMPTS)
