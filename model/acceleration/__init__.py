# SPDX-License-Identifier: Apache-2.0
"""What changes a loaded model in place so that it runs faster or in less memory."""
