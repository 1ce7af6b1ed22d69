# SPDX-License-Identifier: Apache-2.0
"""Clients in place of loaded weights: a policy, and a reasoner, that another computer serves."""
