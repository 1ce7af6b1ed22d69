# SPDX-License-Identifier: Apache-2.0
"""Robot files: the YAML in config/ with the parameters and topic names of one robot."""

from __future__ import annotations

import pathlib

import yaml


def config_folder() -> pathlib.Path:
    """The folder of the robot files: in a checkout, or installed by pip or by colcon."""
    here = pathlib.Path(__file__).resolve().parents[1]
    candidates = [here.parent / "config", here / "config"]
    try:
        from ament_index_python.packages import get_package_share_directory

        candidates.append(pathlib.Path(get_package_share_directory("cosmos3_ros")) / "config")
    except (ImportError, LookupError, OSError):  # no ROS, or none sourced
        pass
    for folder in candidates:
        if (folder / "droid_sim.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"no config folder with droid_sim.yaml in {[str(folder) for folder in candidates]}"
    )


def find_robot_file(robot: str) -> pathlib.Path:
    """The YAML of a robot, by name or path; ValueError lists the known names."""
    path = pathlib.Path(robot)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ValueError(f"robot file {robot!r} does not exist")
        return path.resolve()
    known = sorted(file.stem for file in config_folder().glob("*.yaml"))
    if robot not in known:
        raise ValueError(
            f"unknown robot {robot!r}: expected one of {known} or the path of a YAML file"
        )
    return config_folder() / f"{robot}.yaml"


def read_remappings(path: pathlib.Path) -> tuple[tuple[str, str], ...]:
    """The section `remappings` of a robot file: pairs of a name here and the name on the robot.

    A compressed image topic follows its raw one, unless the section names it too.
    """
    try:
        content = yaml.safe_load(path.read_text())
        section = content.get("remappings", {}).get("ros__parameters", {})
    except (yaml.YAMLError, AttributeError) as error:
        raise ValueError(f"robot file {path} is not a ROS parameter file: {error}") from error
    found = {str(name): str(target) for name, target in section.items()}
    for name, target in tuple(found.items()):
        if name.endswith("/image_raw"):
            found.setdefault(f"{name}/compressed", f"{target}/compressed")
    return tuple(found.items())


def read_joints(path: pathlib.Path, node: str) -> list[str]:
    """The parameter `joints` of a node in a robot file; [] if it has none."""
    try:
        section = yaml.safe_load(path.read_text()).get(f"/**/{node}", {})
        return [*map(str, section.get("ros__parameters", {}).get("joints", []))]
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise ValueError(f"robot file {path} is not a ROS parameter file: {error}") from error
