# SPDX-License-Identifier: Apache-2.0
"""Datasets and embodiments: what columns are, statistics, and an embodiment for a dataset."""
