# SPDX-License-Identifier: Apache-2.0
"""Everything about tokens: captions, chat, the vision encoder that feeds the reasoner, decoding, question formats."""
