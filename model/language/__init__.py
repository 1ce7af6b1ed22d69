# SPDX-License-Identifier: Apache-2.0
"""Everything about tokens: captions, chat, the vision encoder, decoding, question templates."""
