# SPDX-License-Identifier: Apache-2.0
"""What is trained and on what: losses, batches, the autoencoder, the policy, the reasoner, and writing checkpoints."""
