# SPDX-License-Identifier: Apache-2.0
"""Worlds that policies act in: their tasks, experts and published protocols behind one interface."""
