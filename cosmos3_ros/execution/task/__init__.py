# SPDX-License-Identifier: Apache-2.0
"""A task that is said in words: its steps, whether they are done, and how it ends."""
