# SPDX-License-Identifier: Apache-2.0
# Everything on ROS 2 Jazzy, with a GPU or without. See docs/docker.md.
#
#   docker build -t cosmos3_ros:jazzy -f docker/jazzy.Dockerfile .
#   docker run --rm --init --gpus all --shm-size=256m cosmos3_ros:jazzy ros2 launch cosmos3_ros policy.launch.py

FROM ros:jazzy-ros-base

WORKDIR /ws
COPY tools/ src/cosmos3_ros/tools/
COPY package.xml src/cosmos3_ros/
RUN src/cosmos3_ros/tools/jazzy.sh system && rm -rf /var/lib/apt/lists/*
# PyTorch of PyPI, which brings CUDA; the driver's libraries come from the host.
ENV PIP_NO_CACHE_DIR=1
RUN src/cosmos3_ros/tools/jazzy.sh python
COPY . src/cosmos3_ros
RUN src/cosmos3_ros/tools/jazzy.sh build

# The owner of what is written into mounted folders. Ubuntu's image has a user 1000 already.
ARG UID=1000
RUN useradd --create-home --non-unique --uid "$UID" cosmos3
USER $UID
ENV HOME=/home/cosmos3
WORKDIR /home/cosmos3

# compute: CUDA; graphics: EGL, for the simulation
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility
ENTRYPOINT ["/ws/src/cosmos3_ros/docker/in_workspace.sh"]
CMD ["ros2", "launch", "cosmos3_ros", "policy.launch.py"]
