# SPDX-License-Identifier: Apache-2.0
"""Optimizers, LoRA, sharding and the process group: they know no data."""
