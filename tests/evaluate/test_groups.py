"""Images without a group are independent of each other, wherever groups are looked at."""

import numpy as np
import pandas as pd
import pytest

from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.measure import make_score_set, measure_all
from fakefreq.evaluate.scores import without_training_images
from fakefreq.train.selection import select_evaluation


@pytest.fixture
def images() -> pd.DataFrame:
    rows = [
        (f"{name}/{label}/{number}.png", label, name * label, name, split)
        for name in ("alpha", "beta")
        for label in (0, 1)
        for number, split in enumerate(["train"] * 6 + ["val"] * 4 + ["test"] * 10)
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "generator", "subset", "split"])
    return table.assign(sha256="", source="", group="")


def test_training_images_without_a_group_leave_out_no_other(images: pd.DataFrame) -> None:
    chosen = select_evaluation(images, ("alpha",))
    assert chosen["subset"].value_counts().to_dict() == {"alpha": 20, "beta": 40}
    kept = without_training_images(images, ["alpha"])
    assert kept["subset"].value_counts().to_dict() == {"alpha": 28, "beta": 40}


def test_a_named_group_is_left_out_whole(images: pd.DataFrame) -> None:
    images.loc[images["path"].isin(["alpha/0/0.png", "beta/0/19.png"]), "group"] = "one person"
    assert "beta/0/19.png" not in set(select_evaluation(images, ("alpha",))["path"])
    assert "beta/0/19.png" not in set(without_training_images(images, ["alpha"])["path"])


def test_each_is_drawn_and_counted_by_itself(images: pd.DataFrame) -> None:
    table = images[images["subset"] == "alpha"].copy()
    table = table.assign(role=np.where(table["split"] == "val", "val", "test"), logit=np.arange(len(table)) * 1.0)
    scores = make_score_set("chosen", "raw", ["alpha"], {("pixel", 0): table}, Draws.of(images, 100))
    (alpha,) = [entry for entry in scores.test_sets if entry.kind == "generator"]
    assert (alpha.n_real, alpha.n_fake, alpha.groups) == (16, 16, 16)
    assert np.ptp(measure_all(scores)["pixel", 0]["generator", "alpha"].samples["accuracy"]) > 0
