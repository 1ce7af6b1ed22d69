# SPDX-License-Identifier: Apache-2.0
"""The server node: openpi clients served from the process and the weights of the policy node."""

import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from cosmos3_ros.serve.msgpack_codec import pack, unpack

pytestmark = pytest.mark.ros
REQUEST = {
    "observation/image": np.zeros((540, 640, 3), np.uint8),
    "observation/joint_position": np.array([0, -0.63, 0, -2.51, 0, 1.88, 0], np.float32),
    "observation/gripper_position": np.zeros(1, np.float32),
    "prompt": "open the drawer",
}


def test_policy_and_server_share_one_set_of_weights() -> None:
    from cosmos3_ros.model.registry import Models
    from cosmos3_ros.nodes import policy_node, server_node

    models = Models(reasoner=False)
    mine, served = (
        models.policy(policy_node.Params()),
        models.policy(server_node.Params(num_steps=2).policy()),
    )
    assert served.model is mine.model
    assert (mine.options.num_steps, served.options.num_steps) == (4, 2)


def test_one_process_serves_clients_beside_the_policy_node_and_ends_cleanly(
    start: Any, wait_until: Any
) -> None:
    from cosmos3_ros.bringup.node_graph import Options, processes

    (process,) = processes(
        Options(policy=True, reasoner=False, commander=False, sim=False, server=True, port=0)
    )
    brain = start(process.executable, *process.arguments())
    brain.wait_for("ready: ws://", 60)
    (address,) = re.findall(r"ready: (ws://\S+)", brain.output)
    with connect(address, compression=None) as connection:
        assert unpack(connection.recv(timeout=10))["action_space"] == "joint_position"
        connection.send(pack(REQUEST))
        assert unpack(connection.recv(timeout=60))["action"].shape == (16, 8)
        assert brain.interrupt() == 0, "clients do not keep it from ending"


@pytest.fixture
def bring_up(domain: int) -> Iterator[Callable[..., Any]]:
    """Function that makes a server node with parameters, in a thread, and activates it."""
    import rclpy
    from rclpy.parameter import Parameter

    from cosmos3_ros.model.registry import Models
    from cosmos3_ros.nodes.server_node import ServerNode
    from cosmos3_ros.ros import node_runner

    rclpy.init(args=[])
    load, hosts = Models(reasoner=False).policy, list[node_runner.Host]()

    def function(**parameters: Any) -> node_runner.Host:
        chosen = {"num_steps": 1, "guidance": 1.0, "port": 0} | parameters
        node = ServerNode(
            load,
            parameter_overrides=[Parameter(name, value=value) for name, value in chosen.items()],
        )
        hosts.append(node_runner.Host(node))
        hosts[-1].call(lambda: node_runner.bring_up(node))
        return hosts[-1]

    yield function
    for host in hosts:
        host.close()
        host.node.destroy_node()
    rclpy.shutdown()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def test_deactivate_hangs_up_and_activate_listens_again(
    bring_up: Any, wait_until: Any, tmp_path: Any
) -> None:
    token, port = tmp_path / "token", free_port()
    token.write_text("correct-horse\n")
    server, address = bring_up(token_file=str(token), port=port), f"ws://127.0.0.1:{port}"
    assert server.node.failure == ""
    with pytest.raises(InvalidStatus, match="401"), connect(address):
        pass
    known = {"Authorization": "Bearer correct-horse"}
    with connect(address, additional_headers=known) as connection:
        connection.recv(timeout=10)
        server.call(server.node.trigger_deactivate)
        wait_until(lambda: connection.close_code is not None, "the server to hang up")
    with pytest.raises(ConnectionRefusedError), connect(address):
        pass
    server.call(server.node.trigger_activate)
    with connect(address, additional_headers=known) as connection:
        connection.recv(timeout=10)
        connection.send(pack(REQUEST))
        assert unpack(connection.recv(timeout=60))["action"].shape == (16, 8)


def test_what_cannot_be_is_refused_in_one_line(bring_up: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken_port = taken.getsockname()[1]
        said = f"parameter 'port': {taken_port} of 127.0.0.1 is in use; expected another one"
        # said before the checkpoint is looked at
        assert said in bring_up(port=taken_port, checkpoint="/nowhere").node.failure
    assert "/nowhere/token" in bring_up(token_file="/nowhere/token").node.failure
    assert "/nowhere/checkpoint" in bring_up(checkpoint="/nowhere/checkpoint").node.failure
    with pytest.raises(ValueError, match="parameter 'port': expected 0 to 65535, got 70000"):
        bring_up(port=70000)
