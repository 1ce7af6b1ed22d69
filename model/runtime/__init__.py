# SPDX-License-Identifier: Apache-2.0
"""PyTorch and CUDA tools: quantized layers, kernels, CUDA graphs, streams, process groups."""
