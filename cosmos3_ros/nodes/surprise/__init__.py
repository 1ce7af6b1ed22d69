# SPDX-License-Identifier: Apache-2.0
"""The policy node's view of its own predictions: compared with what the cameras then show."""
