"""What an experiment is: variants of the default, with a question, what we expect and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass

Variant = tuple[str, ...]
"""What differs from the default detector, as FIELD=VALUE of `TrainConfig`."""

# What stands for the weights of the default detector of the same seed, where a variant needs a teacher.
TAUGHT_BY_DEFAULT = "teacher=DEFAULT"


@dataclass(frozen=True)
class Experiment:
    """Variants of the default detector that answer a question.

    Args:
        name: its key, such as `data_size`.
        question: what is asked.
        expected: what we expect to see, and why; written before it was run.
        cost: in trainings a seed, one of the default's included, and in the time of one training of the default, by
            the operations that torch counts.
        variants: label -> what differs from the default.
    """

    name: str
    question: str
    expected: str
    cost: str
    variants: Mapping[str, Variant]

    @property
    def trainings(self) -> int:
        """Trainings a seed, the default's included."""
        return 1 + len(self.variants)
