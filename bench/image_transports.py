# SPDX-License-Identifier: Apache-2.0
"""How many raw images of three cameras arrive by best effort, by the transports of both sides.

A driver in a process of its own publishes; it has no profile of Fast DDS, or the receiver's, or
nothing but UDP, as a driver on another computer. The receiver has one of the two profiles of
config/. What the kernel allows a socket to buffer (net.core.rmem_max) is written down, not set.

python bench/image_transports.py --out bench/results/image_transports.json
"""

import argparse
import itertools
import os
import pathlib
import select
import subprocess
import sys
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from result_file import report
from sensor_msgs.msg import Image

from cosmos3_ros.bringup.middleware import profile_variable
from cosmos3_ros.ros.topics import NEWEST

CAMERAS = [f"camera_{k}/image_raw" for k in range(3)]
CONFIG = pathlib.Path(__file__).parents[1] / "config"
PROFILE = profile_variable()
DRIVERS = ("no profile", "profile", "UDP only")
SIZES = ((640, 480), (1280, 720))


def drive(width: int, height: int, images: int) -> None:
    """Publish that many images of each camera at 10 Hz."""
    rclpy.init()
    node = rclpy.create_node("driver")
    publishers = [node.create_publisher(Image, name, 5) for name in CAMERAS]
    image = Image(height=height, width=width, step=3 * width, encoding="rgb8")
    image.data = bytes(height * image.step)
    while any(publisher.get_subscription_count() == 0 for publisher in publishers):
        time.sleep(0.05)
    for _ in range(images):
        began = time.monotonic()
        for publisher in publishers:
            publisher.publish(image)
        time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))
    time.sleep(0.5)


def receive() -> None:
    """Say how many images of each camera came until the input was closed."""
    rclpy.init()
    node = rclpy.create_node("receiver")
    received = dict.fromkeys(CAMERAS, 0)

    def listen(name: str) -> None:
        def count(_: Image) -> None:
            received[name] += 1

        node.create_subscription(Image, name, count, NEWEST)

    for name in CAMERAS:
        listen(name)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    print("listens", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        executor.spin_once(0.1)
    print(*received.values())


def measure(driver: str, profile: str, size: tuple[int, int], images: int) -> list[int]:
    """Images of each camera that arrived."""
    bare = {name: value for name, value in os.environ.items() if name != PROFILE}
    ours = bare | {PROFILE: str(CONFIG / profile)}
    theirs = {"no profile": bare, "profile": ours, "UDP only": bare}[driver]
    if driver == "UDP only":
        theirs = theirs | {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
    receiver = subprocess.Popen(
        [sys.executable, __file__, "--receive"],
        env=ours,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        receiver.stdout.readline()
        words = [sys.executable, __file__, "--drive", *map(str, (*size, images))]
        subprocess.run(words, env=theirs, check=True, timeout=60 + images)
        return [int(word) for word in receiver.communicate(timeout=30)[0].split()]
    finally:
        receiver.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=80, help="of each camera (default: 80)")
    parser.add_argument("--out", type=pathlib.Path, help="write the result there as json")
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--drive", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.receive:
        return receive()
    if args.drive:
        return drive(*args.drive)
    rows = []
    for size, driver in itertools.product(SIZES, DRIVERS):
        for profile in ("fastdds.xml", "fastdds_udp.xml"):
            arrived = measure(driver, profile, size, args.images)
            rows.append({"driver": driver, "size": size, "profile": profile, "arrived": arrived})
            print(driver, size, profile, arrived, flush=True)
    report(
        f"python bench/image_transports.py --images {args.images}",
        ("rclpy", "numpy"),
        args.out,
        rmem_max=int(pathlib.Path("/proc/sys/net/core/rmem_max").read_text()),
        discovery=os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", ""),
        sent=args.images,
        rows=rows,
    )
    return None


if __name__ == "__main__":
    main()
