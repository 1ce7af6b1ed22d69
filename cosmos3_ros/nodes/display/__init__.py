# SPDX-License-Identifier: Apache-2.0
"""What others draw: chunk and future in the standard messages of RViz, Foxglove and rqt."""
