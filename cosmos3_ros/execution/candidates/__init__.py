# SPDX-License-Identifier: Apache-2.0
"""Candidates: joint positions over time that somebody thinks of playing, to be imagined first."""
