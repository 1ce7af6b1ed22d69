# SPDX-License-Identifier: Apache-2.0
"""The names that DROID's datasets and clients have for cameras."""

from __future__ import annotations


def droid_image_name(view: str, first: int = 1) -> str:
    """DROID's name for the image of a view; views that DROID does not have keep their names.

    first: DROID's number of exterior_1, which some of its releases count from 0.
    """
    if view == "wrist":
        return "wrist_image_left"
    kind, _, number = view.partition("_")
    if kind != "exterior" or not number.isdecimal():
        return view
    return f"exterior_image_{first + int(number) - 1}_left"
