# SPDX-License-Identifier: Apache-2.0
"""From noise to video latents and action rows: schedules, solvers, guidance, the denoising loop."""
