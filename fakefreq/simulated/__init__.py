"""Fakes of our own making: simulated upsamplers and planted lattices."""
