"""The studies whose results ship, each after those that it needs."""

from __future__ import annotations

from collections.abc import Mapping

from hrvlab.experiments.ablations import study as ablations
from hrvlab.experiments.disambiguation import study as disambiguation
from hrvlab.experiments.editing import study as editing
from hrvlab.experiments.head_effects import study as head_effects
from hrvlab.experiments.neglect import study as neglect
from hrvlab.experiments.study import Study
from hrvlab.experiments.votes import study as votes
from hrvlab.experiments.weakening import study as weakening

STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (
        votes.STUDY,
        disambiguation.TUNING_STUDY,
        disambiguation.STUDY,
        editing.TUNING_STUDY,
        editing.STUDY,
        neglect.TUNING_STUDY,
        neglect.STUDY,
        weakening.STUDY,
        head_effects.STUDY,
        ablations.VOTING_RULES_STUDY,
        ablations.STUDY,
    )
}
