"""Published detectors: what of a run is sent to the Hugging Face hub, and the model card made from it."""
