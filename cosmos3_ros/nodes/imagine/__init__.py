# SPDX-License-Identifier: Apache-2.0
"""The policy node's service that imagines a candidate before anything moves."""
