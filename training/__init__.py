# SPDX-License-Identifier: Apache-2.0
"""Demonstrations, datasets, the flow-matching objective, recipes and closed-loop evaluation."""
