"""The ready-made fakes come in one order, cropped and never resampled."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fakefreq.errors import UserError
from fakefreq.zoo.generators.openpeople import COUNT, SIZE, OpenPeople, load_openpeople, person_of
from fakefreq.zoo.registry import find_generator

Fetch = Callable[[str], Path]


def write_wheel(path: Path, sizes: dict[str, tuple[int, int]]) -> Path:
    """A wheel with smooth images of these heights and widths."""
    with zipfile.ZipFile(path, "w") as wheel:
        for name, (height, width) in sizes.items():
            image = np.zeros((height, width, 3), np.uint8)
            image[..., 0] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
            wheel.writestr(f"openpeople/data/curated/{name}.jpg", cv2.imencode(".jpg", image)[1].tobytes())
    return path


def test_faces_come_first_and_tall_images_keep_their_top(tmp_path: Path) -> None:
    tall, wide = (SIZE + 1000, SIZE + 8), (SIZE + 8, SIZE + 500)
    sizes = {"P1/assets/character_sheet": wide, "P1/assets/studio_posture": tall, "P1/assets/studio_portrait": wide}
    people = OpenPeople(write_wheel(tmp_path / "people.whl", sizes))
    kinds = [member.rsplit("/", 1)[-1] for member in people.members]
    assert kinds == ["studio_portrait.jpg", "studio_posture.jpg"]
    images = people.sample_at([0, 1])
    assert images.shape == (2, SIZE, SIZE, 3)
    blue: NDArray[np.uint8] = images[..., 2]
    assert blue[1, 0].max() <= 3
    assert blue[1, -1].max() < 200  # a good part of the tall image lies below
    with pytest.raises(UserError, match="has 2 images"):
        people.sample_at([2])


def test_images_that_are_too_small_are_refused(tmp_path: Path) -> None:
    people = OpenPeople(write_wheel(tmp_path / "people.whl", {"P1/assets/studio_portrait": (SIZE - 1, SIZE)}))
    with pytest.raises(UserError, match="fewer than"):
        people.sample_at([0])
    with pytest.raises(UserError, match="no images"):
        OpenPeople(write_wheel(tmp_path / "none.whl", {}))


@pytest.mark.network
def test_openpeople_shows_ten_people_four_times(fetched: Fetch) -> None:
    fetched("openpeople")
    people = load_openpeople()
    assert len(people) == COUNT == find_generator("openpeople").limit
    persons = [member.split("/")[3] for member in people.members]
    assert [f"openpeople_{person}" for person in persons] == [person_of(index) for index in range(COUNT)]
    assert people.sample_at([39])[0].std() > 10
