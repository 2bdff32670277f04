"""``audiofolder:DIR``: sounds in class folders."""

from __future__ import annotations

import numpy as np

from ..errors import CorruptSampleError
from ..registry import Spec
from .folder import load_class_folders, printable
from .target import TARGETS, Target, Waveform

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif"})


def read_sound(path: str) -> Waveform:
    """Decode one sound at its own rate, all channels.

    Raises
    ------
    CorruptSampleError
        If libsndfile cannot decode it, it is empty, or it has values that are not finite.
    """
    import soundfile

    try:
        with open(path, "rb") as stream, soundfile.SoundFile(stream) as sound:
            rate = sound.samplerate
            samples = np.ascontiguousarray(sound.read(dtype="float32", always_2d=True).T)
    except OSError as error:
        raise CorruptSampleError(printable(path), error.strerror or str(error)) from None
    except soundfile.SoundFileError as error:
        raise CorruptSampleError(printable(path), getattr(error, "error_string", str(error)).strip()) from None
    if not samples.size:
        raise CorruptSampleError(printable(path), "the sound is empty")
    if not np.isfinite(samples).all():
        raise CorruptSampleError(printable(path), "it holds NaN or infinite values")
    return Waveform(samples, rate)


def load_audiofolder(spec: Spec) -> Target:
    """Load ``audiofolder:DIR[?group=REGEX]``; see `load_class_folders`."""
    return load_class_folders(spec, "audio", SUFFIXES, read_sound)


TARGETS.add("audiofolder", load_audiofolder)
