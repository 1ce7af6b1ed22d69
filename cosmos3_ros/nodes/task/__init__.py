# SPDX-License-Identifier: Apache-2.0
"""The task server: an action in words, done until it is judged to be done."""
