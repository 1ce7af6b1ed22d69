# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders in the layout of the Hugging Face Hub: read, written, summarized.

Safetensors only.
"""
