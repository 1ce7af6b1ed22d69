# SPDX-License-Identifier: Apache-2.0
"""The robot description that the page gets: meshes by number, and no other file."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.ros
URDF = """<robot name="r"><link name="a">
  <visual><geometry><mesh filename="{}"/></geometry></visual>
  <visual><geometry><mesh filename="missing.stl"/></geometry></visual>
  <visual><geometry><box size="1 1 1"/></geometry></visual>
  <visual><geometry><mesh filename="package://nobody_has_it/b.stl"/></geometry></visual>
  <collision><geometry><mesh filename="secret.stl"/></geometry></collision>
</link></robot>"""


@pytest.mark.parametrize("name", ["link.STL", "{folder}/link.STL", "file://{folder}/link.STL"])
def test_meshes_that_are_there_are_numbered_and_others_left_out(tmp_path: Path, name: str) -> None:
    from cosmos3_ros.nodes.console.robot_model import read_model

    (tmp_path / "link.STL").write_bytes(b"solid")
    (tmp_path / "secret.stl").write_bytes(b"solid")
    model = read_model(URDF.format(name.format(folder=tmp_path)), tmp_path)
    assert model.meshes == (tmp_path / "link.STL",)
    assert 'filename="mesh/0.stl"' in model.urdf
    assert "<box" in model.urdf
    for word in ("missing", "nobody", "secret", str(tmp_path)):
        assert word not in model.urdf


def test_relative_names_of_a_description_from_a_topic_count_from_nowhere(tmp_path: Path) -> None:
    from cosmos3_ros.nodes.console.robot_model import read_model

    assert read_model(URDF.format("link.STL"), None).meshes == ()
    with pytest.raises(ValueError, match="not XML"):
        read_model("robot", None)
