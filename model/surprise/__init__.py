# SPDX-License-Identifier: Apache-2.0
"""How far what the cameras show is from what the policy predicted, compared as latents."""
