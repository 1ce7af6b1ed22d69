# SPDX-License-Identifier: Apache-2.0
"""Point the CMake files of the ROS 2 wheels at this Python.

The wheels were built in another image, and the CMake targets they export name the Python and NumPy
headers of that image (/opt/python/cp3XX-cp3XX/...), where CMake finds nothing. This rewrites them
in the environment whose Python runs it. Run it after every installation of ros-* wheels; a second
run changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

BUILD_IMAGE = r"/opt/python/cp\d+-cp\d+/"
NUMPY_HEADERS = re.compile(BUILD_IMAGE + r"lib/python[\d.]+/site-packages/numpy/_?core/include")
PYTHON_HEADERS = re.compile(BUILD_IMAGE + r"include/python[\d.]+")


def point_at(text: str, python_headers: str, numpy_headers: str) -> str:
    """Return the CMake file `text` with the header folders of the build image replaced."""
    text = NUMPY_HEADERS.sub(lambda _: numpy_headers, text)
    return PYTHON_HEADERS.sub(lambda _: python_headers, text)


def main() -> int:
    """Rewrite the files; 1 if the Python headers are missing."""
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").is_file():
        print(
            f"error: no Python.h in {headers}; on Debian and Ubuntu: apt install python3-dev",
            file=sys.stderr,
        )
        return 1
    changed = 0
    for path in Path(sys.prefix, "share").glob("*/cmake/*.cmake"):
        old = path.read_text()
        new = point_at(old, headers, np.get_include())
        if new != old:
            path.write_text(new)
            changed += 1
    print(f"{changed} CMake files now name {headers}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
