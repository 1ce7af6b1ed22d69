# SPDX-License-Identifier: Apache-2.0
"""Tools of torch and CUDA that know no network: quantized layers, kernels, CUDA graphs, streams, process groups."""
