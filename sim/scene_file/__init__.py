# SPDX-License-Identifier: Apache-2.0
"""Simulated robots that a file describes: a public MJCF or URDF, its joints, cameras, motions."""
