# SPDX-License-Identifier: Apache-2.0
"""NVIDIA Cosmos 3 as a world-action policy and reasoner for ROS 2."""

from pkgutil import extend_path

# From the repository root this folder shadows the installed package, which alone holds the
# generated msg/ and srv/.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
