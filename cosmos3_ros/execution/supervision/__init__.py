# SPDX-License-Identifier: Apache-2.0
"""Whether the arm can be moved, whether it follows, and what is sent if it does not."""
