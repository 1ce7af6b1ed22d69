# SPDX-License-Identifier: Apache-2.0
"""NVIDIA Cosmos 3 as a world-action policy and reasoner for ROS 2."""

from importlib.metadata import PackageNotFoundError, version
from pkgutil import extend_path

# From the repository root this folder shadows the installed package, which alone holds the
# generated msg/ and srv/.
__path__ = extend_path(__path__, __name__)

try:
    __version__ = version("cosmos3_ros")  # that of package.xml
except PackageNotFoundError:  # a copy of the folders that nobody installed
    __version__ = "unknown"
