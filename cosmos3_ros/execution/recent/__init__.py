# SPDX-License-Identifier: Apache-2.0
"""What was seen in the last seconds."""
