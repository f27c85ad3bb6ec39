"""What every transform promises: one test for all."""

import copy
from collections.abc import Callable
from typing import Any, cast

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from fakefreq import spectra
from fakefreq.errors import UserError

# Made for each test anew; Bayar's filters are random, so that its seed is set.
TRANSFORMS: dict[str, Callable[[], nn.Module]] = {
    "dct2": spectra.DCT2,
    "dct2_kind_3": lambda: spectra.DCT2(kind=3, ortho=False),
    "idct2": spectra.IDCT2,
    "block_dct": spectra.BlockDCT,
    "block_dct_overlapping": lambda: spectra.BlockDCT(4, 3),
    "power_spectrum": spectra.PowerSpectrum,
    "power_spectrum_tiles": lambda: spectra.PowerSpectrum("hamming", tile=16, scale="linear"),
    "power_spectrum_db": lambda: spectra.PowerSpectrum("kaiser", scale="db", half=False, detrend="plane"),
    "phase": spectra.Phase,
    "cross_spectrum": spectra.CrossSpectrum,
    "coherency": lambda: spectra.CrossSpectrum(tile=16, coherency=True),
    "autocorrelation": lambda: spectra.Autocorrelation(6),
    "npr": spectra.NPRResidual,
    "median": spectra.MedianResidual,
    "srm": spectra.SRMResidual,
    "highpass": spectra.HighpassResidual,
    "highpass_periodic": lambda: spectra.HighpassResidual(border="periodic"),
    "haar": spectra.WaveletBands,
    "db4_level_2": lambda: spectra.WaveletBands("db4", level=2),
    "bayar": spectra.BayarConv2d,
    "band_filters": spectra.BandFilters,
    "band_filters_learnable": lambda: spectra.BandFilters(geometry="diagonal", learnable=True, grid=8),
    "radial_profile": lambda: spectra.RadialProfile(width="full"),
    "angular_profile": lambda: spectra.AngularProfile(width="full"),
    "spectral_slope": lambda: spectra.SpectralSlope(width="full"),
    "lattice_tile": spectra.LatticeTile,
    "lattice_scores": spectra.LatticeScores,
    "lattice_scores_6": lambda: spectra.LatticeScores(6),
    "lattice_field_scores": spectra.LatticeFieldScores,
    "lattice_pvalue": lambda: spectra.LatticePValue(4),
    "peak_scores": lambda: spectra.PeakScores(width="full"),
    "gray": spectra.Gray,
    "ycbcr": spectra.YCbCr,
    "hsv": spectra.HSV,
    "studio_range_trace": spectra.StudioRangeTrace,
}
MIXES_CHANNELS = {
    "lattice_field_scores",
    "lattice_pvalue",
    "cross_spectrum",
    "coherency",
    "bayar",
    "gray",
    "ycbcr",
    "hsv",
    "studio_range_trace",
}


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    return TRANSFORMS[name]()


def pictures(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(found: Tensor, expected: Tensor, relative: float) -> None:
    scale = float(expected.detach().abs().max()) + 1e-30
    assert found.shape == expected.shape
    assert float((found.double() - expected.double()).detach().abs().max()) <= relative * scale


@pytest.mark.parametrize("name", TRANSFORMS)
def test_images_and_channels_do_not_touch_each_other(name: str) -> None:
    transform, images = make(name), pictures(3, 3, 21, 26)
    together = transform(images)
    close(transform(images[1:2]), together[1:2], 1e-12)
    if name not in MIXES_CHANNELS:
        close(transform(images[:, 1:2]), together[:, 1:2], 1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_types(name: str) -> None:
    """uint8 and half precision are computed in float32, float64 is kept, even by a module that was cast."""
    transform = make(name)
    whole = torch.randint(0, 256, (2, 3, 21, 26), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(transform(whole), transform(whole.float() / 255))
    assert transform(whole).dtype == torch.float32
    low = pictures(2, 3, 21, 26).bfloat16()
    assert torch.equal(transform(low), transform(low.float()))
    exact = transform(pictures(2, 3, 21, 26))
    assert exact.dtype == torch.float64
    if not list(transform.parameters()):
        for cast_to in (torch.float64, torch.bfloat16):
            assert torch.equal(copy.deepcopy(transform).to(cast_to)(pictures(2, 3, 21, 26)), exact)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_autocast_is_kept_out(name: str) -> None:
    transform, images = make(name), pictures(2, 3, 21, 26, dtype=torch.float32)
    outside = transform(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = transform(images)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


@pytest.mark.parametrize("size", [(16, 17), (31, 16), (33, 33), (130, 121)])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_odd_sizes(name: str, size: tuple[int, int]) -> None:
    found = make(name)(pictures(1, 3, *size, dtype=torch.float32))
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 2)])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_tiny_sizes_work_or_say_what_they_need(name: str, size: tuple[int, int]) -> None:
    message = ""
    try:
        found = make(name)(pictures(1, 3, *size, dtype=torch.float32))
        assert bool(found.isfinite().all())
    except UserError as error:
        message = str(error)
    assert not message or f"{size[0]}x{size[1]}" in message


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_are_right(name: str) -> None:
    transform = make(name).double()
    images = pictures(1, 3, 16, 17).requires_grad_()
    assert torch.autograd.gradcheck(transform, (images,), fast_mode=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMS)
def test_torch_compile_takes_it_whole(name: str) -> None:
    torch._dynamo.reset()
    transform, images = make(name), pictures(1, 3, 21, 26, dtype=torch.float32)
    compiled = torch.compile(transform, fullgraph=True, backend="eager")
    close(compiled(images), transform(images), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMS)
def test_torch_export_takes_it(name: str) -> None:
    transform, images = make(name).eval(), pictures(1, 3, 21, 26, dtype=torch.float32)
    close(torch.export.export(transform, (images,)).module()(images), transform(images), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dct2", "idct2", "block_dct", "npr", "median", "srm", "haar", "bayar"])
def test_onnx_gives_the_same(name: str) -> None:
    agrees_in_onnxruntime(make(name).eval())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["power_spectrum", "highpass_periodic"])
def test_onnx_s_dft_gives_the_same(name: str) -> None:
    agrees_in_onnxruntime(make(name).eval())


def agrees_in_onnxruntime(transform: nn.Module) -> None:
    images = pictures(2, 3, 24, 32, dtype=torch.float32)
    program = torch.onnx.export(transform, (images,), dynamo=True, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    close(torch.from_numpy(cast(Any, found)), transform(images), 1e-5)
