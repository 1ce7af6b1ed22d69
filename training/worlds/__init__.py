# SPDX-License-Identifier: Apache-2.0
"""Worlds that policies act in: tasks, experts and published protocols behind one interface."""
