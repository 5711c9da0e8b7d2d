"""A safety checker that withholds an image."""

from dataclasses import dataclass, replace

from hrvlab.experiments.conditions import Condition


@dataclass(frozen=True)
class Withholding:
    """A condition of which a safety checker withholds the first image."""

    condition: Condition

    @property
    def rows(self):
        return self.condition.rows

    def plan(self):
        return self.condition.plan()

    def check(self, pipe):
        self.condition.check(pipe)

    def generate(self, pipe, seeds, **call):
        generated = self.condition.generate(pipe, seeds, **call)
        images = generated.images.copy()
        images[0] = 0
        return replace(generated, images=images)
