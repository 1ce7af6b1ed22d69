# SPDX-License-Identifier: Apache-2.0
"""Predicted futures against what came: which pictures are due, and whether it is an alarm."""
