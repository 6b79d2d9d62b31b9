# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A video of the demo as an animated picture, for pages that show no videos.

python benchmarks/animate.py out/demo/video.mp4 docs/images/demo.webp
"""

import argparse
from pathlib import Path

from PIL import Image

from mbmrl_ros.reports.video import read_video

LARGEST_BYTES = 2_000_000
HOLD_MS = 2000


def animate(video: Path, picture: Path, every: int, frame_ms: int) -> int:
    """Write every n-th frame, hold the last one; return the size [bytes]."""
    frames = read_video(video)
    chosen = [Image.fromarray(frame) for frame in [*frames[:-1:every], frames[-1]]]
    durations = [frame_ms] * (len(chosen) - 1) + [HOLD_MS]
    chosen[0].save(
        picture, save_all=True, append_images=chosen[1:], duration=durations, loop=0, quality=60,
        method=4,
    )  # fmt: skip
    return picture.stat().st_size


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('video', type=Path)
    parser.add_argument('picture', type=Path)
    parser.add_argument('--every', type=int, default=1, help='n-th frame (1)')
    parser.add_argument('--frame-ms', type=int, default=100, help='a frame is shown (100)')
    options = parser.parse_args()
    size = animate(options.video, options.picture, options.every, options.frame_ms)
    print(f'{options.picture}: {size} bytes')
    if size > LARGEST_BYTES:
        raise SystemExit(f'more than {LARGEST_BYTES}: take --every 2')


if __name__ == '__main__':
    main()
