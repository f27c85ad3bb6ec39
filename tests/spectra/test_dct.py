"""Transforms against scipy in float64, whole and in pieces."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fakefreq.spectra import _tensor as pieces
from fakefreq.spectra import (
    block_dct,
    block_idct,
    dct2,
    dct_basis,
    highpass_residual,
    idct2,
    jpeg_quality,
    luma_steps,
    median_residual,
    power_spectrum,
    quantisation_table,
    rgb_to_gray,
    rgb_to_ycbcr,
    window_1d,
    zigzag,
)
from fakefreq.spectra.block_dct import _by_product, _kernels
from fakefreq.spectra.fft import _log1p
from fakefreq.spectra.windows import Window

SIZES = [(1, 1), (2, 2), (7, 8), (8, 8), (63, 64), (64, 63), (224, 224), (255, 256), (299, 301)]


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def error(found: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(found.double().numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("size", SIZES)
def test_dct2_is_scipy_s_at_any_size(size: tuple[int, int]) -> None:
    images = noise(2, 3, *size)
    expected = scipy.fft.dctn(images.numpy(), axes=(2, 3), norm="ortho")
    assert error(dct2(images), expected) <= 1e-12
    assert error(dct2(images.float()), expected) <= 1e-6


@pytest.mark.parametrize("size", SIZES)
def test_every_kind_of_dct_is_scipy_s_and_has_its_inverse(size: tuple[int, int]) -> None:
    images = noise(2, 1, *size)
    for kind in (2, 3):
        for ortho in (True, False):
            norm = "ortho" if ortho else None
            expected = scipy.fft.dctn(images.numpy(), type=kind, axes=(2, 3), norm=norm)  # type: ignore[call-overload]
            assert error(dct2(images, kind, ortho), expected) <= 1e-12
            assert error(dct2(images.float(), kind, ortho), expected) <= 1e-6
            torch.testing.assert_close(idct2(dct2(images, kind, ortho), kind, ortho), images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(3, 4), (113, 240), (1, 12600), (12600, 1)])
def test_the_gradient_of_a_dct_is_the_other_transform(size: tuple[int, int]) -> None:
    images = noise(1, 1, *size).requires_grad_()
    weights = noise(1, 1, *size, seed=1)
    # The transform is orthonormal: its gradient is the inverse.
    (gradient,) = torch.autograd.grad((dct2(images) * weights).sum(), images)
    assert error(gradient, scipy.fft.idctn(weights.numpy(), axes=(2, 3), norm="ortho")) <= 1e-12
    (gradient,) = torch.autograd.grad((idct2(images) * weights).sum(), images)
    assert error(gradient, scipy.fft.dctn(weights.numpy(), axes=(2, 3), norm="ortho")) <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("transform", [dct2, idct2])
@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("ortho", [True, False])
def test_a_dct_has_derivatives_of_every_mode(transform: Callable[..., Tensor], kind: int, ortho: bool) -> None:
    images = noise(2, 1, 4, 5).requires_grad_()

    def chosen(values: Tensor) -> Tensor:
        return transform(values, kind, ortho)

    assert torch.autograd.gradcheck(chosen, (images,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(chosen, (images,))
    torch.testing.assert_close(torch.func.vmap(chosen, in_dims=1)(images.movedim(0, 1)), chosen(images))


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated
def test_a_dct_is_the_matrix_form_where_there_are_no_values_to_hand_to_scipy() -> None:
    images = noise(1, 2, 30, 31)
    products = dct_basis(30) @ images @ dct_basis(31).T
    torch.testing.assert_close(dct2(images), products, rtol=0, atol=1e-12)
    traced = torch.jit.trace(dct2, images)  # type: ignore[no-untyped-call]
    # A trace takes the basis's size for a tensor, and rounds it to float32.
    torch.testing.assert_close(traced(images + 1), dct2(images + 1), rtol=0, atol=1e-4)
    with FakeTensorMode():
        assert dct2(torch.zeros(2, 3, 30, 31)).shape == (2, 3, 30, 31)
    assert dct2(torch.zeros(0, 3, 30, 31)).shape == (0, 3, 30, 31)


@pytest.mark.parametrize("size", SIZES)
def test_dct2_comes_back_and_keeps_energy(size: tuple[int, int]) -> None:
    images = noise(2, 1, *size)
    torch.testing.assert_close(idct2(dct2(images)), images, rtol=0, atol=1e-12)
    torch.testing.assert_close(dct2(images).square().sum(), images.square().sum())


@pytest.mark.parametrize(("block", "stride"), [(4, 4), (8, 8), (8, 3), (16, 8), (32, 32)])
@pytest.mark.parametrize("size", [(32, 32), (63, 64), (65, 99)])
def test_block_dct_is_scipy_s_block_by_block(block: int, stride: int, size: tuple[int, int]) -> None:
    images = noise(2, 3, *size)
    windows = np.lib.stride_tricks.sliding_window_view(images.numpy(), (block, block), (2, 3))[:, :, ::stride, ::stride]
    expected = scipy.fft.dctn(windows, axes=(4, 5), norm="ortho")
    expected = expected.reshape(*expected.shape[:4], -1).transpose(0, 1, 4, 2, 3)
    assert error(block_dct(images, block, stride), expected) <= 1e-12
    # A 32x32 block sums 1,024 products in one go: float32 rounds those a little more.
    assert error(block_dct(images.float(), block, stride), expected) <= (1e-6 if block <= 16 else 2e-6)


@pytest.mark.parametrize(("block", "stride"), [(8, 8), (8, 3), (4, 4)])
def test_a_product_of_matrices_gives_the_same_blocks(block: int, stride: int) -> None:
    """What compiled code on a GPU takes."""
    images = noise(3, 1, 37, 50)
    found = _by_product(images, _kernels(block), stride)
    assert error(found.unsqueeze(1), block_dct(images, block, stride).numpy()) <= 1e-12


@pytest.mark.parametrize(("block", "stride"), [(4, 4), (8, 8), (8, 3), (16, 8), (32, 32)])
def test_blocks_come_back(block: int, stride: int) -> None:
    images = noise(2, 3, 65, 99)
    back = block_idct(block_dct(images, block, stride), block, stride)
    torch.testing.assert_close(back, images[..., : back.shape[-2], : back.shape[-1]], rtol=0, atol=1e-12)


def test_zigzag_is_jpeg_s() -> None:
    # ITU-T T.81, figure 5: the first 16 and the last 4 of the scan.
    expected = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5]
    assert zigzag().tolist()[:16] == expected
    assert zigzag().tolist()[-4:] == [47, 55, 62, 63]
    assert sorted(zigzag(5).tolist()) == list(range(25))


@pytest.mark.slow
@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_quality_of_a_decoded_jpeg_is_found(quality: int, seed: int) -> None:
    from tests.conftest import draw_pixels

    photo = draw_pixels(seed, 256, 256)
    coded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB)).copy()
    decoded = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    assert jpeg_quality(decoded).tolist() == [quality]
    table = quantisation_table(decoded)[0]
    is_told = table > 0
    assert int(is_told.sum()) >= 10
    assert float((table == luma_steps(quality))[is_told].float().mean()) > 0.9
    assert jpeg_quality(torch.from_numpy(photo).permute(2, 0, 1)[None]).item() > 95
    # Off the grid the trace is gone.
    assert jpeg_quality(decoded[..., 3:, 3:]).item() > 95


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("half", [True, False])
def test_power_without_a_window_is_scipy_s(size: tuple[int, int], half: bool) -> None:
    images = noise(2, 3, *size)
    centred = images.numpy() - images.numpy().mean(axis=(2, 3), keepdims=True)
    transform = scipy.fft.rfft2 if half else scipy.fft.fft2
    expected = np.abs(transform(centred, axes=(2, 3))) ** 2 / (size[0] * size[1])
    found = power_spectrum(images, window="none", scale="linear", half=half)
    assert np.abs(found.numpy() - expected).max() <= 1e-12 * max(expected.max(), 1)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", ["hann", "hamming", "kaiser", "none"])
def test_float32_power_is_as_exact_as_its_digits(size: tuple[int, int], window: Window) -> None:
    """Largest deviation over the largest power, by the very definition in float64, of pixels as a file has them."""
    images = torch.randint(0, 256, (8, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels = images.float().div(255).double().numpy()
    taper = np.outer(*(window_1d(window, side, dtype=torch.float64).numpy() for side in size))
    centred = pixels - pixels.mean(axis=(2, 3), keepdims=True)
    expected = np.abs(scipy.fft.rfft2(centred * taper)) ** 2 / np.square(taper).sum()
    if expected.max() < 1e-20:  # one pixel is its own mean
        assert float(power_spectrum(images, window, scale="linear").max()) < 1e-12
        return
    assert error(power_spectrum(images, window, scale="linear"), expected) <= 1e-6
    assert error(power_spectrum(images, window), np.log1p(expected)) <= 1e-6
    assert error(power_spectrum(torch.from_numpy(pixels), window, scale="linear"), expected) <= 1e-12


def test_log_power_keeps_its_digits_far_below_1() -> None:
    power = torch.logspace(-12, 4, 999)
    exact = power.double().log1p()
    assert float(((_log1p(power).double() - exact) / exact).abs().max()) < 3e-7
    # What 1 + power in float32 would do: a power of 1e-8 is gone.
    assert float(((power + 1).log().double() - exact).abs().div(exact).max()) == 1
    variable = power.double().requires_grad_()
    assert torch.autograd.gradcheck(_log1p, (variable,))


@pytest.mark.parametrize(
    ("transform", "side"),
    [
        (power_spectrum, 40),
        (lambda images: power_spectrum(images, tile=16), 40),
        (lambda images: power_spectrum(images, scale="db", half=False), 40),
        (lambda images: power_spectrum(images, detrend="plane"), 40),
        (highpass_residual, 40),
        (median_residual, 40),
    ],
)
def test_pieces_of_a_batch_are_the_batch(
    transform: Callable[[Tensor], Tensor], side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = noise(5, 3, side, side - 3).requires_grad_()
    whole = transform(images)
    (gradient,) = torch.autograd.grad(whole.sum(), images)
    for planes in (1, 4):
        monkeypatch.setattr(pieces, "PIECE_BYTES", planes * side * (side - 3) * 4)
        found = transform(images)
        with torch.no_grad():  # each result is written to its place
            torch.testing.assert_close(transform(images), whole, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(torch.autograd.grad(found.sum(), images)[0], gradient, rtol=1e-9, atol=1e-12)


def test_jpeg_s_colours() -> None:
    colours = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.float64)
    found = rgb_to_ycbcr(colours.view(5, 3, 1, 1)).flatten(1)
    # Poynton, A Technical Introduction to Digital Video (1996): JFIF's full-range primaries.
    expected = [[1, 0, 0], [0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312], [0, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(rgb_to_gray(colours.view(5, 3, 1, 1)).flatten(), found[:, 0])
