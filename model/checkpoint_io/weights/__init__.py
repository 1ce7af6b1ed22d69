# SPDX-License-Identifier: Apache-2.0
"""From stored tensors to a module's weights: dtypes, scales, names and shapes, strictly."""
