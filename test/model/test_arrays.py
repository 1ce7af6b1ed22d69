# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from cosmos3_ros.model.arrays import check_array, check_image


def test_an_image_is_uint8_with_three_channels():
    check_image("image", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(ValueError, match=r"image: expected a uint8 array .* got float64 \[2, 3\]"):
        check_image("image", np.zeros((2, 3)))
    with pytest.raises(ValueError, match="got list"):
        check_image("image", [])


def test_an_array_is_float32_of_its_dimensions_and_finite():
    check_array("state", np.zeros(2, np.float32), 1)
    with pytest.raises(ValueError, match=r"with 2 dimension\(s\), got float32 \[2\]"):
        check_array("state", np.zeros(2, np.float32), 2)
    with pytest.raises(ValueError, match="state: expected finite values, got 1 NaN or infinite"):
        check_array("state", np.array([np.nan, 0], np.float32), 1)
