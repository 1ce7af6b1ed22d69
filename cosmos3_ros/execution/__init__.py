# SPDX-License-Identifier: Apache-2.0
"""From a chunk to a motion: when to infer, how chunks follow each other, limits.

Pure; time is passed in.
"""
