"""Features that know how strongly the image was compressed last."""

from torch import Tensor, nn

from fakefreq.spectra.compression import QUALITIES, QualityPosterior

CONDITIONS = ("none", "quality")


class QualityCondition(nn.Module):
    """Scales and shifts features by the quality of JPEG that the pixels show (Perez et al. 2018, "FiLM").

    A coefficient that means nothing at quality 60 may mean much at 95. Scale and shift start at one and zero, so that
    training begins as without it. It also lets a detector see the quality itself: where that tells the classes apart,
    it will be used, so it is for data of one history, or of histories drawn alike for both classes.

    Args:
        width: number of features.

    Shape:
        - input: features (B, width); RGB floats in [0, 1], (B, 3, H, W), H and W at least 24
        - output: (B, width)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.posterior = QualityPosterior()
        self.minimum_size = self.posterior.minimum_size
        self.modulate = nn.Linear(len(QUALITIES), 2 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Return the features, modulated."""
        scale, shift = self.modulate(self.posterior(pixels).to(features.dtype)).chunk(2, dim=1)
        return features * (1 + scale) + shift  # type: ignore[no-any-return]
