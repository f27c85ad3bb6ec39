"""CNNDetection (Wang et al. 2020, "CNN-generated images are surprisingly easy to spot... for now", CVPR): a ResNet-50
on pixels. Its idea is the training augmentation, blur and JPEG; the network is the pixel stream."""

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import load_backbone
from fakefreq.models.pixel import PixelStream


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/cnndetection`."""
    del name
    stream = PixelStream(config.backbone)
    stream.weights_from = load_backbone(stream.network, config, pretrained)
    stream.drop_classifier()
    return Detector(config, {"pixel": stream})
