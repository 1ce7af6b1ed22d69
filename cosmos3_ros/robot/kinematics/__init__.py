# SPDX-License-Identifier: Apache-2.0
"""Where the tool is for joint positions, and joint positions for where the tool is to be."""
