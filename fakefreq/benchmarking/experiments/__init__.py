"""The experiments of `ablate`, each with what is asked, what we expected before it was run, and what it costs."""

from fakefreq.benchmarking.experiments import of_detectors, of_training
from fakefreq.benchmarking.experiments.base import TAUGHT_BY_DEFAULT, Experiment, Variant

__all__ = ["EXPERIMENTS", "TAUGHT_BY_DEFAULT", "Experiment", "Variant"]

_ORDER = [
    *("streams", "spectrum", "spectrum_alone", "window", "colour", "fusion", "condition", "augmentation", "masks"),
    *("regularisation", "balance", "simulated", "history", "crop_or_resize", "crop", "views", "data_size", "freezing"),
    *("backbone", "pretraining", "distillation", "optimiser"),
]
_OF_NAME = {experiment.name: experiment for experiment in (*of_detectors.EXPERIMENTS, *of_training.EXPERIMENTS)}
EXPERIMENTS: dict[str, Experiment] = {name: _OF_NAME[name] for name in _ORDER}
"""Name -> experiment."""
