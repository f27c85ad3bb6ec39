"""What an experiment is: variants of the default, with a question, what we expect and what it costs."""

import re
from dataclasses import dataclass, fields

Variant = tuple[str, ...]

# What stands for the weights of the default detector of the same seed, where a variant needs a teacher.
TAUGHT_BY_DEFAULT = "teacher=DEFAULT"


@dataclass(frozen=True)
class Experiment:
    """Base of all experiments: a subclass's docstring is its question, `Expected: ...` and `Cost: ...`."""

    @property
    def name(self) -> str:
        """Its key, such as `data_size`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def variants(self) -> dict[str, Variant]:
        """Label -> what differs from the default."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @property
    def trainings(self) -> int:
        """Trainings a seed, the default's included."""
        return 1 + len(self.variants)

    @property
    def question(self) -> str:
        """What is asked."""
        return self._parts()[0]

    @property
    def expected(self) -> str:
        """What we expect to see, and why; written before it was run."""
        return self._parts()[1]

    @property
    def cost(self) -> str:
        """What it takes."""
        return self._parts()[2]

    def _parts(self) -> tuple[str, str, str]:
        text = " ".join((type(self).__doc__ or "").split())
        question, _, rest = text.partition(" Expected: ")
        expected, _, cost = rest.partition(" Cost: ")
        return question, expected, cost
