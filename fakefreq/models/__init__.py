"""Detectors: the pixel stream, the frequency stream and their fusion."""

from fakefreq.config.detector import DetectorConfig
from fakefreq.models.detector import Detector
from fakefreq.models.peers import PEER_TRAINING, PEERS, register_peers
from fakefreq.models.pixel import PixelStream
from fakefreq.models.registry import create_detector, list_detectors, register_detector
from fakefreq.models.streams import SPECTRA, FrequencyStream
from fakefreq.models.weights import load_detector, save_detector

__all__ = [
    "PEERS",
    "PEER_TRAINING",
    "SPECTRA",
    "Detector",
    "DetectorConfig",
    "FrequencyStream",
    "PixelStream",
    "create_detector",
    "list_detectors",
    "load_detector",
    "register_detector",
    "save_detector",
]

register_peers()
