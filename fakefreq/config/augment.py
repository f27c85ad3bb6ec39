"""What training does to images that validation and scoring do not, as plain data."""

from dataclasses import dataclass

from fakefreq.errors import UserError

# Half of the images change their size and half their quality, by one law for both classes: chosen on photographs and a
# generator that were kept out of training (docs/selection.md), where it gained more than any spectrum did.
DEFAULT_DEGRADE = "0.5*rescale:0.5..1:any 0.5*jpeg:60..95"


@dataclass(frozen=True)
class AugmentConfig:
    """What happens to training images alone, by one law for both classes.

    Args:
        flip: mirror half of the training images.
        rotate: training images turn by up to this many degrees either way (bilinear); 0 leaves pixels untouched.
        degrade: degradations that training images of both classes pass by one law, each with its probability, such as
            `0.5*resize:0.5..1 0.5*jpeg:60..95|webp:60..95`; empty: none.
        simulate: probability that a real of a training batch gets a fake of our own making beside it: its twin, gone
            through a simulated upsampler, with its parent's codec, degradations and crop.
        simulate_families: the upsamplers to draw from, separated by commas; empty: all that the zoo simulates.
        mixup: both parameters of the beta law by which pairs of images are mixed (Zhang et al. 2018); 0 mixes none.
    """

    flip: bool = True
    rotate: float = 0.0
    degrade: str = DEFAULT_DEGRADE
    simulate: float = 0.0
    simulate_families: str = ""
    mixup: float = 0.0

    def check_augment(self) -> None:
        """Refuse numbers that cannot work; the texts are read where their languages are.

        Raises:
            UserError: names the value, what is allowed and the flag.
        """
        if not 0 <= self.rotate <= 180:
            raise UserError(f"--rotate is {self.rotate} degrees; it takes 0 to 180")
        if not 0 <= self.simulate <= 1:
            raise UserError(f"--simulate is {self.simulate}; it is a probability, 0 to 1")
        if not 0 <= self.mixup < float("inf"):
            raise UserError(f"--mixup is {self.mixup}; it takes 0 or more")
