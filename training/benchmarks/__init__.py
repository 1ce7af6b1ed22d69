# SPDX-License-Identifier: Apache-2.0
"""Public benchmarks: their folders read, and what their scorers read written."""
