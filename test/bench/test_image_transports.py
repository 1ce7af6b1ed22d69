# SPDX-License-Identifier: Apache-2.0

import pytest

from cosmos3_ros.bringup.middleware import dds_profile

image_transports = pytest.importorskip("image_transports")

pytestmark = pytest.mark.ros
BY_UDP = "fastdds_udp.xml"


@pytest.mark.skipif(
    dds_profile() != BY_UDP, reason="net.core.rmem_max is below 4 MB: images by memory"
)
def test_images_of_a_driver_without_a_profile_arrive() -> None:
    """Through the 512 KB of shared memory that the driver takes by itself a third arrives."""
    arrived = image_transports.measure("no profile", BY_UDP, (640, 480), images=40)
    assert min(arrived) >= 30, arrived  # of the worst of three cameras
