# SPDX-License-Identifier: Apache-2.0
"""LeRobotDataset folders of anybody: what they say of themselves, and their tables, strictly."""
