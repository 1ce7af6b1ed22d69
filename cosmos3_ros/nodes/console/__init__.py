# SPDX-License-Identifier: Apache-2.0
"""The console's node: what the topics say, for the page of `serve.console`, and what it presses."""
