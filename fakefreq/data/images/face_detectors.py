"""Where faces are in an image: two published face detectors, by their published weights."""

import math
import threading
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import nms

from fakefreq.data.images.resample import resize
from fakefreq.errors import UserError
from fakefreq.files import sha256_file
from fakefreq.wheels.fetch import WHEELS
from fakefreq.wheels.torch_weights import load_strictly, load_torch_weights

Boxes = NDArray[np.float64]
PACKAGE = "facenet-pytorch"
LEAST_FACE = 20
"""Pixels: the smallest face that MTCNN looks for, as in the published code."""
LEAST_SHARE = 1 / 8
"""Of the image's shorter side: a smaller face is not looked for. In large images it saves most of the time."""
BORDER = 0.25
"""Of the image's shorter side: the width of the grey border that MTCNN sees around the image. Without it, a face that
fills the image gets a box of a poor size, or none."""
# Zhang et al. 2016, as the published code has them: scores from which a stage keeps a box, the steps of the pyramid,
# the overlaps above which a better box takes another away, and the sides of what the stages look at.
_SCORES = (0.6, 0.7, 0.7)
_PYRAMID_STEP = 0.709
_WITHIN_SCALE, _OVERLAP = 0.5, 0.7
_PROPOSED, _REFINED, _JUDGED = 12, 24, 48
_STRIDE = 2
_GREY = 127.5
# YuNet was made for faces of up to some 300 pixels, so larger images are reduced to this side before it.
_YUNET_SIDE = 640
_YUNET_SCORE = 0.7


class _Stage(nn.ModuleDict):
    """One of MTCNN's three networks: convolutions, perhaps a dense layer, and outputs beside each other.

    Args:
        convolutions: (channels, kernel, window of the max pooling behind it or 0) each.
        dense: (inputs, outputs) of the layer behind them; None in a network that is convolutional throughout.
        outputs: channels of each output: whether it is a face, the box's corrections, the places of eyes, nose and
            mouth.
    """

    def __init__(
        self, convolutions: tuple[tuple[int, int, int], ...], dense: tuple[int, int] | None, outputs: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.pools = [pool for _, _, pool in convolutions]
        before = 3
        for number, (channels, kernel, _) in enumerate(convolutions, 1):
            self[f"conv{number}"], self[f"prelu{number}"] = nn.Conv2d(before, channels, kernel), nn.PReLU(channels)
            before = channels
        following = len(convolutions) + 1
        self.dense = "" if dense is None else str(following)
        if dense is not None:
            self[f"dense{following}"], self[f"prelu{following}"] = nn.Linear(*dense), nn.PReLU(dense[1])
        self.outputs = []
        for number, channels in enumerate(outputs, 1):
            name = f"conv{following}_{number}" if dense is None else f"dense{following + 1}_{number}"
            self[name] = nn.Conv2d(before, channels, 1) if dense is None else nn.Linear(dense[1], channels)
            self.outputs.append(name)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability of a face and the corrections of the box.

        Shape: (B, 3, H, W) in [-1, 1] -> (B, ...), (B, 4, ...); ... are the places of a convolutional network.
        """
        values = images
        for number, pool in enumerate(self.pools, 1):
            values = self[f"prelu{number}"](self[f"conv{number}"](values))
            if pool:
                values = functional.max_pool2d(values, pool, 2, ceil_mode=True)
        if self.dense:
            # The weights come from a library that counts columns before rows.
            values = values.permute(0, 3, 2, 1).flatten(1)
            values = self[f"prelu{self.dense}"](self[f"dense{self.dense}"](values))
        return self[self.outputs[0]](values).softmax(dim=1)[:, 1], self[self.outputs[1]](values)


class Mtcnn:
    """MTCNN (Zhang, Zhang, Li and Qiao, "Joint face detection and alignment using multitask cascaded convolutional
    networks", 2016): a network proposes boxes at all scales, a second refines them, and a third judges them.

    Faces smaller than `LEAST_FACE` pixels, or `LEAST_SHARE` of the image's shorter side, are not looked for. The image
    gets a grey border of `BORDER`; all else is as in the published code. Use it within `one_torch_thread`, so that
    boxes are the same to the bit on any machine.
    """

    name = f"mtcnn:{PACKAGE}-{WHEELS[PACKAGE].version}"

    def __init__(self) -> None:
        self.propose = _Stage(((10, 3, 2), (16, 3, 0), (32, 3, 0)), None, (2, 4))
        self.refine = _Stage(((28, 3, 3), (48, 3, 3), (64, 2, 0)), (576, 128), (2, 4))
        self.judge = _Stage(((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)), (1152, 256), (2, 4, 10))

    @torch.inference_mode()
    def find(self, image: NDArray[np.uint8]) -> Boxes:
        """Return the boxes of all faces in an RGB image.

        Shape: (H, W, 3) -> (N, 4).
        """
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
        least_face = max(LEAST_FACE, LEAST_SHARE * min(image.shape[:2]))
        border = round(BORDER * min(image.shape[:2]))
        pixels = functional.pad(pixels, (border,) * 4, value=_GREY)
        boxes = self._proposals(pixels, least_face)
        for network, side, least in ((self.refine, _REFINED, _SCORES[1]), (self.judge, _JUDGED, _SCORES[2])):
            parts, boxes = _cut_all(pixels, _squared(boxes), side)
            if not len(boxes):
                break
            scores, corrections = network(parts)
            kept = scores > least
            boxes, scores, corrections = boxes[kept], scores[kept], corrections[kept]
            if network is self.refine:
                best = nms(boxes, scores, _OVERLAP)
                boxes = _corrected(boxes[best], corrections[best], 1.0)
            else:
                boxes = _corrected(boxes, corrections, 1.0)
                boxes = boxes[_without_nested(boxes, scores)]
        found: Boxes = boxes.double().numpy() - border
        return found

    def _proposals(self, pixels: Tensor, least_face: float) -> Tensor:
        """Return boxes that may hold a face of some pixels or more, of all scales."""
        height, width = pixels.shape[2:]
        scale = _PROPOSED / least_face
        boxes, scores, corrections = [torch.zeros(0, 4)], [torch.zeros(0)], [torch.zeros(0, 4)]
        while min(height, width) * scale >= _PROPOSED:
            score, correction = self.propose(_reduced(pixels, int(height * scale + 1), int(width * scale + 1)))
            places = (score[0] >= _SCORES[0]).nonzero()
            rows, columns = places.T
            corner = _STRIDE * places.flip(1).float()
            box = torch.cat([((corner + 1) / scale).floor(), ((corner + _PROPOSED) / scale).floor()], dim=1)
            best = nms(box, score[0, rows, columns], _WITHIN_SCALE)
            boxes.append(box[best])
            scores.append(score[0, rows, columns][best])
            corrections.append(correction[0, :, rows, columns].T[best])
            scale *= _PYRAMID_STEP
        found = torch.cat(boxes)
        best = nms(found, torch.cat(scores), _OVERLAP)
        return _corrected(found[best], torch.cat(corrections)[best], 0.0)


def load_mtcnn() -> Mtcnn:
    """Fetch the weights (2 MB) and build the detector.

    Raises:
        UserError: the wheel cannot be had, or its weights do not fit.
    """
    detector = Mtcnn()
    for file, network in (("pnet", detector.propose), ("rnet", detector.refine), ("onet", detector.judge)):
        load_strictly(network, load_torch_weights(PACKAGE, f"facenet_pytorch/data/{file}.pt"), f"MTCNN's {file}")
    return detector


def _reduced(pixels: Tensor, height: int, width: int) -> Tensor:
    """Bring bytes to a size by means over areas, and to [-1, 1]."""
    return (functional.interpolate(pixels, (height, width), mode="area") - _GREY) / 128


def _corrected(boxes: Tensor, corrections: Tensor, extra: float) -> Tensor:
    """Move the sides of boxes by shares of their width and height, which count `extra` pixels more."""
    sides = boxes[:, 2:] - boxes[:, :2] + extra
    return boxes + corrections * torch.cat([sides, sides], dim=1)


def _squared(boxes: Tensor) -> Tensor:
    """Widen boxes to squares of the same centre."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return torch.cat([corner, corner + longer], dim=1)


def _cut_all(pixels: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Cut what lies in each box and bring it to one size; boxes with nothing of the image in them fall away."""
    height, width = pixels.shape[2:]
    parts, kept = [pixels.new_zeros(0, 3, side, side)], []
    # The published weights count pixels from 1, and the last one is in the box.
    for number, (left, top, right, bottom) in enumerate(boxes.trunc().int().tolist()):
        part = pixels[:, :, max(top, 1) - 1 : min(bottom, height), max(left, 1) - 1 : min(right, width)]
        if part.numel():
            parts.append(_reduced(part, side, side))
            kept.append(number)
    return torch.cat(parts), boxes[kept]


def _without_nested(boxes: Tensor, scores: Tensor) -> list[int]:
    """Keep the better one of two boxes where most of the smaller one lies in the other."""
    kept: list[int] = []
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(dim=1)
    for number in scores.argsort(stable=True).flip(0).tolist():
        corner = torch.maximum(boxes[kept, :2], boxes[number, :2])
        shared = (torch.minimum(boxes[kept, 2:], boxes[number, 2:]) - corner + 1).clamp_min(0).prod(dim=1)
        if (shared <= _OVERLAP * torch.minimum(areas[kept], areas[number])).all():
            kept.append(number)
    return kept


class YuNet:
    """YuNet (Wu, Peng and Yu, "YuNet: a tiny millisecond-level face detector", 2023), run by OpenCV.

    Args:
        path: its ONNX file, face_detection_yunet_2023mar.onnx of the OpenCV Zoo or another that OpenCV takes.

    Raises:
        UserError: no such file, or OpenCV does not take it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"there is no file {path}; --face-model takes YuNet's ONNX file")
        self.name = f"yunet:{sha256_file(self.path)[:12]}"
        self._own = threading.local()
        try:
            self.find(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise UserError(f"OpenCV cannot use {path} as YuNet ({error.err}); --face-model takes its ONNX file, such "
                            "as face_detection_yunet_2023mar.onnx of the OpenCV Zoo") from error  # fmt: skip

    def find(self, image: NDArray[np.uint8]) -> Boxes:
        """Return the boxes of all faces in an RGB image.

        Shape: (H, W, 3) -> (N, 4).
        """
        if not hasattr(self._own, "network"):  # one a thread: it keeps the size of its input
            self._own.network = cv2.FaceDetectorYN.create(str(self.path), "", (64, 64), _YUNET_SCORE)
        height, width = image.shape[:2]
        share = min(1.0, _YUNET_SIDE / max(height, width))
        size = max(1, math.floor(height * share)), max(1, math.floor(width * share))
        self._own.network.setInputSize(size[::-1])
        found = self._own.network.detect(resize(image, *size, "area", True)[..., ::-1])[1]
        if found is None:
            return np.zeros((0, 4))
        boxes = np.asarray(found[:, :4], np.float64)
        boxes[:, 2:] += boxes[:, :2]
        boxes *= np.array([width / size[1], height / size[0]] * 2)
        return boxes
