# SPDX-License-Identifier: Apache-2.0
"""The network: a text tower and a generator tower that share one cache of keys and values."""
