# SPDX-License-Identifier: Apache-2.0
"""Questions about simulated scenes and their answers, for training and testing the reasoner."""
