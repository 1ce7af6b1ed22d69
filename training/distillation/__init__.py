# SPDX-License-Identifier: Apache-2.0
"""Few-step students of a policy or of the video side: their loss, data and loop."""
