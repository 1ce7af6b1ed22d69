# SPDX-License-Identifier: Apache-2.0
"""The robot description for the console's page: the URDF, and the files of its meshes."""

from __future__ import annotations

import pathlib
from xml.etree import ElementTree

from ...serve.console.server import RobotModel

_PACKAGE, _FILE = "package://", "file://"


def read_model(urdf: str, folder: pathlib.Path | None) -> RobotModel:
    """A URDF's text with its meshes renamed to mesh/NUMBER.SUFFIX, and their files in that order.

    folder: where relative names count from. A mesh that is not there is left out of the page.
    ValueError if the text is no XML.
    """
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError as error:
        raise ValueError(f"robot description cannot be read: it is not XML ({error})") from error
    files: list[pathlib.Path] = []
    for visual in [v for link in root.iter("link") for v in link.findall("visual")]:
        mesh = visual.find("geometry/mesh")
        if mesh is None:
            continue
        path = _find(mesh.get("filename", ""), folder)
        if path is not None:
            if path not in files:
                files.append(path)
            mesh.set("filename", f"mesh/{files.index(path)}{path.suffix.lower()}")
        else:
            mesh.set("filename", "")
    for link in root.iter("link"):
        for element in link.findall("collision"):
            link.remove(element)
        for visual in link.findall("visual"):
            mesh = visual.find("geometry/mesh")
            if mesh is not None and not mesh.get("filename"):
                link.remove(visual)
    return RobotModel(ElementTree.tostring(root, encoding="unicode"), tuple(files))


def _find(name: str, folder: pathlib.Path | None) -> pathlib.Path | None:
    """The file of a mesh; None if it is not on this machine."""
    if name.startswith(_PACKAGE):
        package, _, below = name.removeprefix(_PACKAGE).partition("/")
        try:
            from ament_index_python.packages import get_package_share_directory

            path = pathlib.Path(get_package_share_directory(package)) / below
        except (LookupError, ValueError):
            return None
    else:
        path = pathlib.Path(name.removeprefix(_FILE))
        if not path.is_absolute():
            if folder is None:
                return None
            path = folder / path
    return path.resolve() if path.is_file() else None
