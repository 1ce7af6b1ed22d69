# SPDX-License-Identifier: Apache-2.0
"""Pictures and videos: one way from bytes to upright pixels, and one back to H.264."""
