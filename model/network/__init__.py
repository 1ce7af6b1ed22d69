# SPDX-License-Identifier: Apache-2.0
"""The network itself: two transformers (reasoner and generator) that share one cache of keys and values."""
