"""Sounds out of a SoundFont 2 file.

The format: E-mu Systems, "SoundFont Technical Specification", version 2.04, 2006. Only the sample headers and
the sample data are read; presets, envelopes and modulators are not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from ..errors import TargetError
from .target import Waveform

_HEADER = struct.Struct("<20s5IBbHH")  # name, start, end, loop start, loop end, rate, key, correction, link, type
_FRAME_BYTES = 2  # 16-bit little-endian
_ROM = 0x8000  # type bit of samples that lie in a sound card's memory, not in the file


@dataclass(frozen=True)
class FontSample:
    """One recording.

    Attributes
    ----------
    name : str
    frames : ndarray of shape (n_frames,), int16
    loop : tuple of int
        First frame of the part that is repeated while a note is held, and the one after its last.
    rate : int
        Frames per second.
    key : int
        Of the recorded note: 60 is middle C, a semitone each; 255 for no pitch.
    """

    name: str
    frames: np.ndarray
    loop: tuple[int, int]
    rate: int
    key: int

    def hold(self, seconds: float) -> Waveform:
        """The sound of a note held for `seconds`: the loop is repeated as often as that takes."""
        wanted = round(seconds * self.rate)
        first, last = self.loop
        head, body = self.frames[:last], self.frames[first:last]
        if len(head) < wanted and len(body):
            head = np.concatenate([head, np.resize(body, wanted - len(head))])
        return Waveform(head[None, :wanted].astype(np.float32) / 32768, self.rate)


def read_soundfont(content: bytes) -> list[FontSample]:
    """All samples of a SoundFont 2 file in the order of their headers.

    Raises
    ------
    TargetError
        If it is no SoundFont 2 file, or a sample lies outside its data.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise TargetError(f"not a SoundFont 2 file: it starts with {content[:12]!r}; expected RIFF....sfbk.")
    chunks = _chunks(content, 12, len(content))
    if missing := {"smpl", "shdr"} - chunks.keys():
        raise TargetError(f"not a whole SoundFont 2 file: it has no chunk {', '.join(sorted(missing))}.")
    data = np.frombuffer(chunks["smpl"], dtype="<i2", count=len(chunks["smpl"]) // _FRAME_BYTES)
    headers = chunks["shdr"]
    found = []
    for at in range(0, len(headers) // _HEADER.size * _HEADER.size, _HEADER.size):
        raw, start, end, loop_start, loop_end, rate, key, _, _, kind = _HEADER.unpack_from(headers, at)
        name = raw.split(b"\0")[0].decode("latin-1").strip()
        if name == "EOS" or kind & _ROM:  # the end of the list, which has no sound
            continue
        if not start <= loop_start <= loop_end <= end <= len(data) or not rate:
            raise TargetError(f"not a whole SoundFont 2 file: sample {name!r} lies outside its {len(data)} frames.")
        found.append(FontSample(name, data[start:end], (loop_start - start, loop_end - start), rate, key))
    return found


def _chunks(content: bytes, at: int, end: int) -> dict[str, bytes]:
    """Content of every RIFF chunk by its name, lists opened."""
    found: dict[str, bytes] = {}
    while at + 8 <= end:
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"LIST":
            found |= _chunks(content, at + 12, min(at + 8 + size, end))
        else:
            found[name.decode("latin-1")] = content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2  # chunks start at even places
    return found
