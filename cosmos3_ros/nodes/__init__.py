# SPDX-License-Identifier: Apache-2.0
"""The nodes, with their parameters: policy, reasoner, server, commander and the simulation."""
