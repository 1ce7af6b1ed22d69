# SPDX-License-Identifier: Apache-2.0
"""`pip install .`: the Python package without ROS.

Of the messages it carries the definitions, which `cosmos3 messages` builds for the ROS 2 wheels.
"""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

FOLDERS = {
    "cosmos3_ros" if folder == "cosmos3_ros" else f"cosmos3_ros.{folder}": folder
    for folder in ("cosmos3_ros", "model", "sim", "training", "serve")
    if Path(folder, "__init__.py").is_file()
}
# the robot files, which colcon installs beside the package
FOLDERS["cosmos3_ros.config"] = "config"
# what CMake builds the messages of, below their own folder
INTERFACES = ("CMakeLists.txt", "package.xml", "msg/*.msg", "srv/*.srv", "action/*.action")
INTERFACES += ("cosmos3_ros/__init__.py", "tools/fix_ros_wheels.py")
NOT_DATA = {".py", ".pyc", ".toml"}


def data(folder: str) -> list[str]:
    """Files that belong to the package beside its modules: checkpoints, robot meshes, py.typed."""
    files = (
        path for path in Path(folder).rglob("*") if path.is_file() and path.suffix not in NOT_DATA
    )
    return [str(path.relative_to(folder)) for path in files]


def pins(name: str) -> list[str]:
    """The lines of a list of requirements, without comments."""
    lines = Path("tools", f"requirements-{name}.txt").read_text().splitlines()
    return [line.partition("#")[0].strip() for line in lines if not line.startswith("#")]


def ros_wheels(distribution: str) -> list[str]:
    """ROS 2 with its generators. Pinned: without, pip takes those of another distribution."""
    return [*pins(f"ros-{distribution}"), "catkin-pkg>=1", "empy>=3.3", "setuptools>=66"]


setup(
    name="cosmos3_ros",
    version=ElementTree.parse("package.xml").findtext("version"),
    description="NVIDIA Cosmos 3 as a world-action policy and reasoner for ROS 2",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in (package, *(f"{package}.{p}" for p in find_packages(folder)))
    ]
    + ["cosmos3_ros.interfaces"],
    package_dir={**FOLDERS, "cosmos3_ros.interfaces": "."},
    package_data={package: data(folder) for package, folder in FOLDERS.items()}
    | {"cosmos3_ros.interfaces": list(INTERFACES)},
    # What was tested together stands in tools/requirements.txt.
    install_requires=[
        "numpy>=2",
        "torch>=2.9",
        "transformers>=5.17",  # 5.17 (with huggingface_hub 1), 5.23 and 5.24 were tested
        "diffusers>=0.38",
        "huggingface_hub>=1",
        "safetensors>=0.5",
        "tqdm>=4.60",
        "tokenizers>=0.22",
        "pillow",
        "PyYAML",
        "av>=14",
        "opencv-python-headless>=4.12",
        "msgpack>=1",
        "websockets>=15",
        "aiohttp>=3.10",
        "prometheus_client>=0.20",
    ],
    extras_require={
        "train": ["pyarrow>=15", "rosbags>=0.11"],
        "poses": ["pin>=3"],
        "jazzy": ros_wheels("jazzy"),
        "kilted": ros_wheels("kilted"),
        "sim": ["mujoco>=3.3", "matplotlib>=3.9"],
        "worlds": ["gymnasium>=1"],
        "metaworld": ["metaworld>=3"],  # not beside mujoco 4: see docs/worlds.md
        "lerobot": ["lerobot>=0.4.4"],  # an environment of its own: see docs/worlds.md
        "test": ["pytest>=8", "pytest-xdist>=3", "hypothesis>=6", "openai>=2", "playwright>=1.50"],
    },
    entry_points={"console_scripts": ["cosmos3 = cosmos3_ros.cli:main"]},
)
