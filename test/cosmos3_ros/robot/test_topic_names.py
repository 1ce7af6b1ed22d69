# SPDX-License-Identifier: Apache-2.0
"""Every topic of the list is recorded, each once, and cameras have one name per transport."""

from cosmos3_ros.robot import topic_names


def test_every_named_topic_is_recorded_once() -> None:
    constants = [getattr(topic_names, name) for name in vars(topic_names) if name.isupper()]
    named = [value for value in constants if isinstance(value, str)]
    assert sorted(topic_names.RECORDED) == sorted(named)
    assert set(topic_names.COMMANDS) < set(topic_names.RECORDED)


def test_a_camera_has_a_topic_per_transport() -> None:
    assert topic_names.camera("wrist", "raw") == "camera/wrist/image_raw"
    assert topic_names.camera("wrist", "compressed") == "camera/wrist/image_raw/compressed"
