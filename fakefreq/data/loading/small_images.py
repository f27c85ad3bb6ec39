"""Images that are smaller than the crop: how many there are, said before a detector reads their reflections."""

import numpy as np
import pandas as pd

from fakefreq.config.input import InputConfig
from fakefreq.data.degrade.history import history_of


def reflected_line(rows: pd.DataFrame, config: InputConfig, advice: str) -> str:
    """Return a line on images that are continued by reflection to fill the crop; empty where there are none.

    Args:
        rows: with `width` and `height` in pixels, 0 where they are not known.
        config: the crop, and what they go through first.
        advice: what to change.

    >>> rows = pd.DataFrame({"width": [64, 64, 300], "height": [64, 80, 300]})
    >>> reflected_line(rows, InputConfig(crop=224), "see --crop")
    'warning: 67 % of the images are smaller than the crop of 224 pixels and continued by reflection, which fills 92 % \
of the smallest crop; see --crop'
    """
    size = np.asarray(rows[["width", "height"]], dtype=np.int64).reshape(-1, 2)
    size = size[(size > 0).all(axis=1)]
    history, crop = history_of(config), config.crop
    if history is not None and history.size is not None:
        size = np.full_like(size, history.size)
    small = size[(size < crop).any(axis=1)]
    if not len(small):
        return ""
    share = 100 * len(small) / len(size)
    filled = 100 * (1 - np.minimum(small, crop).prod(axis=1).min() / crop**2)
    return (
        f"warning: {'under 1' if share < 1 else f'{share:.0f}'} % of the images are smaller than the crop of {crop} "
        f"pixels and continued by reflection, which fills {filled:.0f} % of the smallest crop; {advice}"
    )
