# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# The package with the ROS 2 client libraries as wheels; no ROS installation, no GPU.
#
#     docker build -t mbmrl_ros .
#     docker run --rm -it -v "$PWD/out:/data/out" mbmrl_ros demo --robot pr2_left_arm
#     docker run --rm -it --network host --ipc host mbmrl_ros control --ros-args -p robot:=...
FROM python:3.12-slim

# OpenGL without a display, for pictures.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl-mesa0 libegl1 libgl1 libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# First, and of the processor's index: the default one brings gigabytes for GPUs.
ARG TORCH=torch==2.13.0
RUN pip install --no-cache-dir "$TORCH" --index-url https://download.pytorch.org/whl/cpu

COPY . /opt/mbmrl_ros
RUN pip install --no-cache-dir '/opt/mbmrl_ros[ros,sim,arm,video]'

WORKDIR /data
ENTRYPOINT ["mbmrl"]
CMD ["--help"]
