"""The experiments of `ablate`: each a frozen dataclass that says what is asked, what we expect, what it costs.

A field is a variant of the default detector: what differs from it, as FIELD=VALUE of `TrainConfig`. What is expected
was written before it was run. Costs are in trainings a seed, one of the default's included, and in the time of one
training of the default, by the operations that torch counts.
"""

from fakefreq.experiments import of_detectors, of_training
from fakefreq.experiments.base import TAUGHT_BY_DEFAULT, Experiment, Variant

__all__ = ["EXPERIMENTS", "TAUGHT_BY_DEFAULT", "Experiment", "Variant"]

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        of_detectors.Streams(),
        of_detectors.Spectrum(),
        of_detectors.SpectrumAlone(),
        of_detectors.Window(),
        of_detectors.Colour(),
        of_detectors.Fusion(),
        of_detectors.Condition(),
        of_training.Augmentation(),
        of_training.Masks(),
        of_training.Regularisation(),
        of_training.Balance(),
        of_training.Simulated(),
        of_training.History(),
        of_training.CropOrResize(),
        of_training.Crop(),
        of_training.Views(),
        of_training.DataSize(),
        of_detectors.Freezing(),
        of_detectors.Backbone(),
        of_detectors.Pretraining(),
        of_training.Distillation(),
        of_training.Optimiser(),
    )
}
"""Name -> experiment."""
