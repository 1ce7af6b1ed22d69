# SPDX-License-Identifier: Apache-2.0
"""Robot files: the YAML in config/ with the parameters and topic names of one robot."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from ..model.embodiment.table import nearest
from ..model.option_fields import coerce
from .parameter_file import Sections, Setting, in_force, read_sections

REMAPPINGS = "remappings"  # sections of a robot file that are for no node
EMBODIMENT = "embodiment"
SCENE, ENV = "scene", "env"  # parameters of the node sim


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
        close = nearest(robot, known) or ":"
        raise ValueError(
            f"unknown robot {robot!r}{close} expected one of {known} or the path of a YAML file"
        )
    return config_folder() / f"{robot}.yaml"


def read_parameters(path: pathlib.Path, node: str) -> dict[str, Any]:
    """What the node of this name has from a parameter file, by name; ValueError says what is wrong.

    The node is in no namespace, as those that `cosmos3 run` starts.
    """
    return {
        name: setting.value for name, setting in in_force(read_sections(path), f"/{node}").items()
    }


def read_remappings(path: pathlib.Path) -> tuple[tuple[str, str], ...]:
    """The remappings of a robot file, see `remappings_of`."""
    return remappings_of(read_sections(path))


def remapping_settings(sections: Sections) -> dict[str, Setting]:
    """What stands in the section `remappings`, and where."""
    own = {name: found for name, found in sections.items() if name.endswith(REMAPPINGS)}
    return in_force(own, f"/{REMAPPINGS}")


def remappings_of(sections: Sections) -> tuple[tuple[str, str], ...]:
    """The section `remappings`: pairs of a name here and the name on the robot.

    A compressed image topic follows its raw one, unless the section names it too.
    """
    found = {}
    for name, setting in remapping_settings(sections).items():
        if not isinstance(setting.value, str) or not setting.value:
            raise ValueError(
                f"{setting.place}: {name}: expected the name of a topic, got {setting.value!r}"
            )
        found[name] = setting.value
    for name, target in tuple(found.items()):
        if name.endswith("/image_raw"):
            found.setdefault(f"{name}/compressed", f"{target}/compressed")
    return tuple(found.items())


def read_joints(path: pathlib.Path, node: str) -> list[str]:
    """The parameter `joints` of a node in a robot file; [] if it has none."""
    return [*map(str, read_parameters(path, node).get("joints", []))]


def embodiment_of(path: pathlib.Path, sections: Sections, node: str) -> str:
    """The embodiment that a robot file gives a node, as `find_embodiment` takes it; "": none.

    That is the file itself if it has a section `embodiment`, else the node's parameter, where the
    path of a YAML file counts from the robot file.
    """
    setting = in_force(sections, f"/{node}").get("embodiment")
    value = "" if setting is None else coerce("embodiment", str, setting.value)
    if EMBODIMENT in sections:
        if setting is not None and value:
            raise ValueError(
                f"{setting.place}: embodiment {value!r}, but the file has a section "
                f"{EMBODIMENT!r} of its own: expected one of the two"
            )
        return str(path)
    return _beside(path, value) if pathlib.Path(value).suffix in (".yaml", ".yml") else value


def scene_of(path: pathlib.Path, sections: Sections) -> str:
    """The scene file that a robot file gives the simulation; "": none, which is DROID's robot.

    Its path counts from the robot file.
    """
    setting = in_force(sections, "/sim").get(SCENE)
    value = "" if setting is None else coerce(SCENE, str, setting.value)
    return _beside(path, value) if value else ""


def world_of(sections: Sections, node: str = "/sim") -> str:
    """The world that the simulation is to play, see `cosmos3 eval --env`; "": none."""
    setting = in_force(sections, node).get(ENV)
    return "" if setting is None else coerce(ENV, str, setting.value)


def urdf_of(path: pathlib.Path, value: Any) -> str:
    """Where the robot description lies that a robot file calls `value`; "": where it says.

    The path of a file that is there counts from the robot file.
    """
    found = path.parent / str(value)
    return str(found.resolve()) if value and found.is_file() else ""


def _beside(path: pathlib.Path, name: str) -> str:
    return str((path.parent / os.path.expanduser(name)).resolve())
