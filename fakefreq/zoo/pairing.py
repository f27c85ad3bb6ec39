"""Which photos stand against which generator."""

from collections.abc import Mapping, Sequence

import numpy as np

from fakefreq.errors import UserError
from fakefreq.zoo.build import Subset
from fakefreq.zoo.photos import Photo
from fakefreq.zoo.registry import Generator


def draw_subsets(
    photos: Sequence[Photo],
    counts: Mapping[str, int],
    seed: int = 0,
    share: bool = False,
    generators: Mapping[str, Generator] | None = None,
) -> list[Subset]:
    """Deal photos out to generators and controls by a seeded shuffle.

    Args:
        photos: the reals.
        counts: images of each class that each generator or control is to have.
        seed: of the shuffle.
        share: every subset takes from the same photos; a photo keeps one group, so a split still parts nothing.
            Else no photo is used twice.
        generators: those that the registry does not hold, by name.

    Raises:
        UserError: there are fewer photos than wanted.

    >>> photos = [Photo(str(number), "toy", bytes) for number in range(5)]
    >>> a, b = draw_subsets(photos, {"dcgan": 3, "control_jpeg": 2})
    >>> sorted(photo.name for photo in [*a.photos, *b.photos])
    ['0', '1', '2', '3', '4']
    """
    wanted = max(counts.values(), default=0) if share else sum(counts.values())
    if wanted > len(photos):
        hint = "" if share else ", or let all subsets take the same photos with --share-photos"
        raise UserError(
            f"the build wants {wanted} photos, {len(photos)} are there; lower --count, give more --reals{hint}"
        )
    order = np.random.default_rng(seed).permutation(len(photos))
    subsets, start = [], 0
    for name, count in counts.items():
        chosen = sorted(order[start : start + count].tolist())
        generator = (generators or {}).get(name)
        subsets.append(Subset(name, [photos[index] for index in chosen], count, generator))
        start += 0 if share else count
    return subsets
