# SPDX-License-Identifier: Apache-2.0
"""Training of the video side: clips as latents, the flow-matching loss, and its loop."""
