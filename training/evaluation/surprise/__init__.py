# SPDX-License-Identifier: Apache-2.0
"""Surprise in the simulation: what is usual, and what a disturbance looks like."""
