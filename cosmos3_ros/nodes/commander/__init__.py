# SPDX-License-Identifier: Apache-2.0
"""The parts of the commander node: its ways to the controllers, and how playback went."""
