# SPDX-License-Identifier: Apache-2.0
"""Pictures, videos and actions over HTTP, as OpenAI, vLLM-Omni and SGLang have them."""
