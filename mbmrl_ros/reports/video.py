# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures one after the other, as an mp4 that every browser plays. Needs the extra `video`."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.config import UserError
from mbmrl_ros.system.outputs import replacing

Picture = NDArray[np.uint8]
"""[height, width, 3], both even: H.264 halves the resolution of colours."""

# Constant rate factor of H.264: 0 is lossless, 51 the worst.
_QUALITY = 26


def check_video() -> None:
    """UserError where the library that writes videos is missing."""
    if importlib.util.find_spec('av') is None:
        raise UserError("no video: av is not installed (pip install 'mbmrl_ros[video]')")


def write_video(path: Path, pictures: Iterator[Picture], per_second: int) -> Path:
    """Write an mp4 (H.264); it appears whole or not at all. UserError as `check_video`."""
    check_video()
    import av

    options = {'movflags': 'faststart'}
    with (
        replacing(path) as temporary,
        av.open(str(temporary), 'w', format='mp4', options=options) as file,
    ):
        stream = file.add_stream('libx264', rate=per_second)
        stream.pix_fmt = 'yuv420p'
        stream.options = {'crf': str(_QUALITY), 'preset': 'medium'}
        first = next(pictures)
        stream.height, stream.width = first.shape[:2]
        for picture in itertools.chain([first], pictures):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        file.mux(stream.encode())
    return path


def read_video(path: Path) -> list[Picture]:
    """Return all pictures of a video. UserError as `check_video`."""
    check_video()
    import av

    with av.open(str(path)) as file:
        frames = (frame.to_ndarray(format='rgb24') for frame in file.decode(video=0))
        return [frame.astype(np.uint8) for frame in frames]
