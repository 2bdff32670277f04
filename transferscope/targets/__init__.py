"""Targets: the data someone wants to learn. One loader a file."""

from .target import TARGETS, Target, Waveform, load_target, make_target

__all__ = ["TARGETS", "Target", "Waveform", "load_target", "make_target"]
