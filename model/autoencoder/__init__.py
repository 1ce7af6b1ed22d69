# SPDX-License-Identifier: Apache-2.0
"""The video autoencoder (Wan VAE): as published, and rebuilt for speed."""
