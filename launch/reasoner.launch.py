# SPDX-License-Identifier: Apache-2.0
"""The reasoner alone, on its checkpoint or, with remote_url:=..., on an OpenAI endpoint."""

from cosmos3_ros.bringup.launch_description import describe


def generate_launch_description():
    """The fields of bringup.graph_options.Options that matter to it are launch arguments."""
    remote = ("remote_url", "remote_model", "remote_token_file")
    speed = ("compile", "cuda_graphs", "text_weights", "gpus", "tensor_parallel")
    model = ("checkpoint", "device", *speed)
    arguments = ("robot", *model, "image_transport", *remote, "use_sim_time", "log_level")
    return describe(arguments, policy=False, commander=False, sim=False)
