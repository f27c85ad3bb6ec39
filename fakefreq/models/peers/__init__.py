"""Peers: published detectors, re-implemented from their papers, under the contract of all detectors."""

import importlib
from dataclasses import replace

from fakefreq.config.detector import DEFAULT_BACKBONE, DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.catalogue import PEER_TRAINING, PEERS, Peer
from fakefreq.models.registry import list_detectors, register_detector

__all__ = ["PEERS", "PEER_TRAINING", "Peer", "build_peer", "register_peers"]


def build_peer(config: DetectorConfig, pretrained: Pretrained) -> Detector:
    """Build the peer that `config.name` names.

    Args:
        config: its `backbone` is the paper's where it is left at fakefreq's default, and unused where the paper
            has a network of its own.
        pretrained: where the backbone's weights come from; unused likewise.
    """
    name = config.name.removeprefix("peer/")
    peer = PEERS[name]
    if config.backbone == DEFAULT_BACKBONE and peer.backbone:
        # The stored configuration names the network that was built, so that it loads without this rule.
        config = replace(config, backbone=peer.backbone)
    module = importlib.import_module(f"fakefreq.models.peers.{peer.module}")
    return module.build(config, pretrained, name)  # type: ignore[no-any-return]


def register_peers() -> None:
    """Make all peers known as `peer/<name>`; a second call changes nothing."""
    for name in (f"peer/{name}" for name in PEERS):
        if not list_detectors(name):
            register_detector(name)(build_peer)
