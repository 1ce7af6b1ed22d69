# SPDX-License-Identifier: Apache-2.0
"""Demonstrations: made by experts, read from datasets and recordings, written as datasets."""
