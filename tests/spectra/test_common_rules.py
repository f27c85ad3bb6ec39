"""What every transform keeps: precision, gradients, images kept apart, errors that say what is allowed."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from fakefreq.errors import UserError
from fakefreq.spectra import (
    BlockDCT,
    PowerSpectrum,
    block_dct,
    dct2,
    dct_basis,
    idct2,
    jpeg_quality,
    power_spectrum,
    quantisation_table,
    rgb_to_gray,
    rgb_to_hsv,
    rgb_to_ycbcr,
    to_float,
)
from fakefreq.spectra.fft import Scale

SIZES = [(1, 1), (2, 2), (7, 8), (8, 8), (63, 64), (64, 63), (224, 224), (255, 256), (299, 301)]


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def error(found: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(found.double().numpy() - expected).max() / np.abs(expected).max())


def test_images_are_not_written_to() -> None:
    for images in (noise(2, 3, 20, 20), noise(2, 3, 20, 20, dtype=torch.float32)):
        before = images.clone()
        for detrend in ("mean", "plane", "none"):
            power_spectrum(images, detrend=detrend)
            assert torch.equal(images, before)


def test_basis_is_orthonormal_to_float64_and_right_in_float32() -> None:
    basis = dct_basis(512)
    torch.testing.assert_close(basis @ basis.T, torch.eye(512, dtype=torch.float64), rtol=0, atol=1e-12)
    assert float((dct_basis(512, torch.float32).double() - basis).abs().max()) < 1e-7


@pytest.mark.parametrize("transform", [dct2, block_dct, power_spectrum, lambda x: power_spectrum(x, tile=16)])
def test_images_do_not_touch_each_other(transform) -> None:  # type: ignore[no-untyped-def]
    images = noise(4, 3, 40, 37)
    together = transform(images)
    for number in range(4):
        torch.testing.assert_close(transform(images[number : number + 1]), together[number : number + 1])
        torch.testing.assert_close(transform(images[:, 1:2]), together[:, 1:2])


@pytest.mark.slow
@pytest.mark.parametrize("transform", [dct2, block_dct, power_spectrum, lambda x: power_spectrum(x, tile=8)])
def test_gradients_are_right(transform) -> None:  # type: ignore[no-untyped-def]
    images = noise(1, 2, 9, 10).requires_grad_()
    assert torch.autograd.gradcheck(transform, (images,))


@pytest.mark.parametrize("scale", ["log1p", "linear", "db"])
def test_forward_gradients_and_vmap_do_not_depend_on_the_number_of_planes(scale: Scale) -> None:
    images = noise(6, 1, 512, 512)  # more than one piece
    tangents = noise(6, 1, 512, 512, seed=1)

    def power(pixels: Tensor) -> Tensor:
        return power_spectrum(pixels, scale=scale)

    found, slopes = torch.func.jvp(power, (images,), (tangents,))[:2]
    alone = [torch.func.jvp(power, (images[k : k + 1],), (tangents[k : k + 1],)) for k in range(6)]
    torch.testing.assert_close(found, torch.cat([one[0] for one in alone]))
    torch.testing.assert_close(slopes, torch.cat([one[1] for one in alone]))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(images, tangents)  # type: ignore[no-untyped-call]
        dual = forward_ad.unpack_dual(power(dual))  # type: ignore[no-untyped-call]
        torch.testing.assert_close(dual.tangent, slopes)
    torch.testing.assert_close(torch.func.vmap(power)(images.unsqueeze(1)).squeeze(1), found)


@pytest.mark.parametrize("transform", [dct2, idct2, block_dct, power_spectrum, rgb_to_gray, rgb_to_ycbcr])
def test_autocast_is_kept_out(transform) -> None:  # type: ignore[no-untyped-def]
    images = noise(2, 3, 64, 64, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = transform(images)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, transform(images))


@pytest.mark.parametrize("transform", [dct2, block_dct, power_spectrum, rgb_to_gray, rgb_to_ycbcr])
def test_half_precision_input_is_computed_in_float32(transform) -> None:  # type: ignore[no-untyped-def]
    images = noise(2, 3, 64, 64, dtype=torch.float32).bfloat16()
    assert torch.equal(transform(images), transform(images.float()))


@pytest.mark.parametrize("transform", [dct2, block_dct, power_spectrum, rgb_to_gray, rgb_to_ycbcr])
def test_uint8_becomes_float_before_any_arithmetic(transform) -> None:  # type: ignore[no-untyped-def]
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(transform(images), transform(images.float() / 255))


def test_float64_modules_stay_exact_on_float64_images() -> None:
    images = noise(1, 1, 32, 32)
    assert BlockDCT()(images).dtype == torch.float64
    assert torch.equal(BlockDCT().bfloat16()(images), BlockDCT()(images))
    low = BlockDCT().bfloat16()
    assert error(low(images.float()), BlockDCT()(images).numpy()) <= 1e-6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlockDCT(block=1), "block is 1"),
        (lambda: BlockDCT(stride=0), "stride is 0"),
        (lambda: block_dct(torch.zeros(1, 1, 7, 9)), "smaller than one 8x8 block"),
        (lambda: power_spectrum(torch.zeros(1, 1, 9, 9), tile=16), "smaller than one 16x16 tile"),
        (lambda: PowerSpectrum(window="welch"), "unknown window"),  # type: ignore[arg-type]
        (lambda: PowerSpectrum(overlap=1.0), "overlap is 1.0"),
        (lambda: PowerSpectrum(tile=1), "tile is 1"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("transform", [rgb_to_gray, rgb_to_ycbcr, rgb_to_hsv, jpeg_quality, quantisation_table])
def test_other_numbers_of_channels_are_answered_with_what_is_allowed(transform, channels: int) -> None:  # type: ignore[no-untyped-def]
    images = noise(1, channels, 16, 16, dtype=torch.float32)
    if channels == 1 and transform in (jpeg_quality, quantisation_table):
        assert transform(images).shape[0] == 1  # luma
        return
    with pytest.raises(UserError, match=r"\(B, 3, H, W\)"):
        transform(images)


def test_hue_is_below_1() -> None:
    bluish = torch.tensor([1.0, 0.5, 0.50000006]).view(1, 3, 1, 1)
    assert rgb_to_hsv(bluish).flatten().tolist() == [0.0, 0.5, 1.0]


def test_to_float_keeps_float64() -> None:
    assert to_float(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
