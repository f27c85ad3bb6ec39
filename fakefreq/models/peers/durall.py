"""Durall, Keuper and Keuper 2020, "Watch your up-convolution: CNN based generative deep neural networks are failing to
reproduce spectral distributions", CVPR: the radial profile of the log power spectrum, read by a support vector machine
or logistic regression."""

import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.classical import FittedDetector, KernelMachine, Standardise
from fakefreq.spectra import power_spectrum, radial_profile, rgb_to_gray

# Points of the profile up to 1/2 cycles/pixel, whatever the image's size: one for two rings of a 256-pixel image.
POINTS = 64


class ProfileStream(nn.Module):
    """Mean log power over rings of equal frequency, relative to the lowest, at 64 frequencies up to 1/2 cycles/pixel.

    Args:
        with_machine: end in a support vector machine's decision.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 64
        - output: (B, 64), or (B, 1) with the machine
    """

    minimum_size = 64

    def __init__(self, with_machine: bool = False) -> None:
        super().__init__()
        self.standardise = Standardise(POINTS)
        self.machine = KernelMachine(POINTS) if with_machine else None
        self.width = 1 if with_machine else POINTS

    def raw(self, pixels: Tensor) -> Tensor:
        """Return the profile before it is standardised, (B, 64)."""
        # No window, as in the paper; in 8-bit steps, so that log1p is a logarithm wherever there is any signal.
        spectrum = power_spectrum(rgb_to_gray(pixels) * 255.0, window="none", half=False)
        profile = radial_profile(spectrum, "full")[:, :, 1:]  # the mean was taken away: ring 0 is empty
        # The paper resizes spectra, never images.
        resized = nn.functional.interpolate(profile, POINTS, mode="linear", align_corners=True)[:, 0]
        return resized - resized[:, :1]

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, (B, width)."""
        with torch.autocast(pixels.device.type, enabled=False):
            features: Tensor = self.standardise(self.raw(pixels))
            return features if self.machine is None else self.machine(features)


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/durall_svm` or `peer/durall_lr`; no pretrained weights belong to them."""
    del pretrained
    if name == "durall_svm":
        return FittedDetector(config, ProfileStream(with_machine=True), "svm")
    return FittedDetector(config, ProfileStream(), "logistic")
