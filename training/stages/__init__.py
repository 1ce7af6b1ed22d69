# SPDX-License-Identifier: Apache-2.0
"""Stages of a training: autoencoder, policy, reasoner; their losses, batches and checkpoints."""
