# SPDX-License-Identifier: Apache-2.0
"""The node graph is described once: what is started, with which parameters and names."""

import pathlib
import socket
from typing import Any

import pytest

from cosmos3_ros.bringup.graph_options import Options, argument_text, parse_argument
from cosmos3_ros.bringup.node_graph import (
    MODULES,
    parameter_of,
    processes,
    yaml_value,
)
from cosmos3_ros.robot.robot_file import config_folder, find_robot_file, read_remappings

pytestmark = pytest.mark.ros


def test_the_default_graph_is_simulation_brain_and_commander() -> None:
    found = processes(Options())
    assert [(p.executable, p.nodes) for p in found] == [
        ("sim", ("sim",)),
        ("brain", ("policy", "reasoner")),
        ("commander", ("commander",)),
    ]
    assert all(p.executable in MODULES for p in found)


def test_the_arm_does_not_move_unless_it_is_asked_for() -> None:
    assert "commander:armed:=false" in processes(Options())[-1].arguments()
    assert "commander:armed:=true" in processes(Options(armed=True))[-1].arguments()


@pytest.mark.parametrize(
    ("options", "executables"),
    [
        (Options(sim=False, reasoner=False), ["policy", "commander"]),
        (Options(sim=False, policy=False, commander=False), ["reasoner"]),
        (Options(policy=False, reasoner=False, commander=False), ["sim"]),
        (
            Options(sim=False, policy=False, reasoner=False, commander=False, server=True, port=0),
            ["server"],
        ),
    ],
)
def test_parts_can_be_left_out(options: Options, executables: list[str]) -> None:
    assert [p.executable for p in processes(options)] == executables


@pytest.mark.parametrize(
    ("options", "control"),
    [
        (Options(view=True, view_port=0), True),
        (Options(view=True, view_port=0, view_control=False), False),
        (Options("franka_robotiq", sim=False, view=True, view_port=0), None),
        (
            Options("franka_robotiq", sim=False, view=True, view_port=0, view_control=True),
            True,
        ),
    ],
)
def test_only_a_simulation_is_moved_from_the_page_unless_it_is_asked_for(
    options: Options, control: bool | None
) -> None:
    *others, console = processes(options)
    assert [process.essential for process in (*others, console)] == [True] * len(others) + [False]
    given = console.parameters["console"]
    assert (given.get("control"), given["simulation"]) == (control, options.sim)
    assert given["robot"] == str(find_robot_file(options.robot))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--view-port", "70000"], "view_port (--view-port): expected 0 to 65535, got 70000"),
        (["--view-port", "{taken}"], "view_port (--view-port): {taken} of 127.0.0.1 is in use"),
        (["--view-host", "0.0.0.0"], "view_host (--view-host) is '0.0.0.0': expected view_token_"),
        (["--view-token-file", "/no"], "view_token_file (--view-token-file): /no: No such file"),
        (
            ["--no-view", "--view-control"],
            "view_control (--view-control): no console is started; expected view (--view), too",
        ),
        (["--robot", "{robot}"], "{robot}, line 3: host is '1.2.3.4': expected view_token_file"),
    ],
)
@pytest.mark.parametrize("command", ["run", "demo", "view"])
def test_a_console_that_cannot_listen_is_said_before_anything_starts(
    command: str,
    arguments: list[str],
    words: str,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from cosmos3_ros.cli import main

    robot = tmp_path / "robot.yaml"
    own = "/**/console:\n  ros__parameters:\n    host: 1.2.3.4\n"
    robot.write_text(own + find_robot_file("droid_sim").read_text())
    if command == "view" and "--no-view" in arguments:
        pytest.skip("it is the console")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        places = {"taken": other.getsockname()[1], "robot": robot}
        given = [word.format(**places) for word in arguments]
        view = [] if command == "view" or "--no-view" in given else ["--view"]
        out = ["--out", str(tmp_path / "out")] if command == "demo" else []
        assert main([command, *view, *given, *out]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {words.format(**places)}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "port (--port): expected 0 to 65535, got 70000"),
        (["--port", "{taken}"], "port (--port): {taken} of 127.0.0.1 is in use; expected another"),
        (["--host", "192.0.2.1"], "host (--host): 192.0.2.1:8000: Cannot assign requested address"),
        (["--robot", "{robot}"], "{robot}, line 3: port: {taken} of 127.0.0.1 is in use"),
    ],
)
def test_a_server_that_cannot_listen_is_said_before_anything_starts(
    arguments: list[str], words: str, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.cli import main

    robot = tmp_path / "robot.yaml"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        places = {"taken": other.getsockname()[1], "robot": robot}
        own = f"/**/server:\n  ros__parameters:\n    port: {places['taken']}\n"
        robot.write_text(own + find_robot_file("droid_sim").read_text())
        assert main(["run", "--server", *(word.format(**places) for word in arguments)]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {words.format(**places)}")


def test_the_server_runs_in_the_process_of_the_policy() -> None:
    (brain,) = processes(Options(sim=False, commander=False, reasoner=False, server=True, port=0))
    assert (brain.executable, brain.nodes) == ("brain", ("policy", "server"))
    assert brain.arguments()[:3] == ["policy", "server", "--ros-args"]
    assert "server:port:=0" in brain.arguments()


@pytest.mark.parametrize(
    ("options", "own"),
    [
        (Options("isaac_droid"), True),
        # on a robot the robot file decides, and may refuse a checkpoint
        (Options("isaac_droid", sim=False), False),
        (Options("isaac_droid", checkpoint="/trained/for/droid"), False),
    ],
)
def test_the_embedded_checkpoint_moves_the_embedded_simulation_as_any_robot(
    options: Options, own: bool
) -> None:
    brain = next(process for process in processes(options) if "policy" in process.parameters)
    assert brain.parameters["policy"].get("embodiment") == ("" if own else None)


def test_a_folder_that_is_no_checkpoint_is_refused_before_anything_is_started(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(ValueError, match=r"^checkpoint: .* has no transformer/: it is empty, exp"):
        processes(Options(checkpoint=str(tmp_path)))
    # a server on another computer has the weights
    url = "ws://gpu:8000"
    processes(Options(checkpoint=str(tmp_path), policy_url=url, reasoner=False))


def test_how_the_network_runs_is_said_to_all_who_share_its_weights() -> None:
    runs: dict[str, Any] = {"compile": True, "cuda_graphs": True, "weights": "fp8"}
    runs |= {"attention": "fp8", "text_weights": "int8"}
    found = processes(
        Options(
            server=True, port=0, placement="policy", strategy="rtc", image_transport="raw", **runs
        )
    )
    brain = next(process for process in found if process.executable == "brain")
    for node, own in (
        ("policy", {"placement": "policy", "strategy": "rtc", "image_transport": "raw"}),
        ("reasoner", {"image_transport": "raw"}),
        ("server", {"placement": "policy", "port": 0}),
    ):
        assert brain.parameters[node] == runs | own
    assert not any(runs.keys() & process.parameters.get("commander", {}) for process in found)
    assert 'policy:weights:="fp8"' in brain.arguments()


def test_a_remote_reasoner_is_a_process_of_its_own() -> None:
    found = processes(
        Options(sim=False, remote_url="http://gpu:8000/v1", remote_model="nvidia/cosmos3")
    )
    assert [p.executable for p in found] == ["reasoner", "policy", "commander"]
    arguments = found[0].arguments()
    assert 'reasoner:remote_url:="http://gpu:8000/v1"' in arguments
    assert 'reasoner:remote_model:="nvidia/cosmos3"' in arguments
    assert not any("remote_" in word for p in found[1:] for word in p.arguments())


def test_words_keep_their_type_on_the_way_through_yaml() -> None:
    assert [yaml_value(value) for value in (True, 3, "3", "pick up", "")] == [
        "true",
        "3",
        '"3"',
        '"pick up"',
        '""',
    ]


def test_unknown_robots_and_files_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"unknown robot 'nobody': expected one of \[.*'droid_sim'"
    ):
        find_robot_file("nobody")
    with pytest.raises(ValueError, match=r"'/nowhere/x\.yaml' does not exist"):
        find_robot_file("/nowhere/x.yaml")
    with pytest.raises(ValueError, match="nothing to start"):
        processes(Options(policy=False, reasoner=False, commander=False, sim=False))


@pytest.mark.parametrize("node", ["policy", "server"])
@pytest.mark.parametrize("sim", [True, False])
def test_an_unknown_embodiment_is_refused_also_where_another_would_be_used(
    node: str, sim: bool, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"/**/{node}:\n  ros__parameters:\n    embodiment: droid_smi\n")
    said = r"mine.yaml, line 3: embodiment: unknown 'droid_smi', did you mean 'droid_sim'\?"
    with pytest.raises(ValueError, match=said):
        processes(Options(str(path), sim=sim))


def test_remappings_come_from_the_robot_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("remappings:\n  ros__parameters:\n    camera/wrist/image_raw: /wrist/rgb\n")
    raw, compressed = (
        ("camera/wrist/image_raw", "/wrist/rgb"),
        ("camera/wrist/image_raw/compressed", "/wrist/rgb/compressed"),
    )
    assert read_remappings(path) == (raw, compressed)
    assert (
        "camera/wrist/image_raw:=/wrist/rgb" in processes(Options(robot=str(path)))[1].arguments()
    )
    path.write_text(path.read_text() + "    camera/wrist/image_raw/compressed: /jpeg\n")
    assert read_remappings(path) == (raw, (compressed[0], "/jpeg"))
    path.write_text("- not\n- a mapping\n")
    with pytest.raises(ValueError, match="not a ROS parameter file"):
        read_remappings(path)


@pytest.mark.parametrize("path", sorted(config_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_robot_file_fits_the_nodes(path: pathlib.Path) -> None:
    """Its parameters exist and are valid, and its joints fit its embodiment."""
    import typing

    import yaml

    from cosmos3_ros.model.embodiment import find_embodiment
    from cosmos3_ros.model.option_fields import coerce
    from cosmos3_ros.nodes import commander_node, policy_node, reasoner_node, server_node

    content = yaml.safe_load(path.read_text())
    classes = {
        "/**/policy": policy_node.Params,
        "/**/reasoner": reasoner_node.Params,
        "/**/server": server_node.Params,
        "/**/commander": commander_node.Params,
    }
    made = {}
    for name, cls in classes.items():  # a section that is missing leaves the defaults
        given = content.get(name, {}).get("ros__parameters", {})
        kinds = typing.get_type_hints(cls)
        made[name] = cls(**{key: coerce(key, kinds[key], value) for key, value in given.items()})
    policy = content["/**/policy"]["ros__parameters"]
    embodiment = find_embodiment(policy["embodiment"])
    assert len(policy["joints"]) == len(embodiment.state)
    assert set(made["/**/reasoner"].views) == set(embodiment.views)


def test_a_remote_policy_is_a_process_of_its_own_for_the_robots_embodiment() -> None:
    url = "ws://gpu:8000"
    found = processes(Options(policy_url=url, server=True, port=0))
    assert [p.executable for p in found] == ["sim", "policy", "brain", "commander"]
    policy = in_nodes(found)["policy"]
    assert (policy["policy_url"], policy["embodiment"]) == (url, "droid_sim")
    found = processes(Options("isaac_droid", policy_url=url, sim=False, reasoner=False))
    assert [p.executable for p in found] == ["policy", "commander"]
    assert in_nodes(found)["policy"]["embodiment"] == "droid_joint_pos"


SAID: dict[str, dict[str, Any]] = {
    "policy": {"instruction": "fold", "device": "cpu", "checkpoint": "/mine", "threads": 3}
    | {"compile": True, "weights": "fp8", "placement": "policy", "image_transport": "compressed"},
    "reasoner": {"device": "cpu", "checkpoint": "/mine", "remote_url": "http://gpu:1/v1"},
    "server": {"device": "cpu", "checkpoint": "/mine", "host": "0.0.0.0", "port": 47109},
    "commander": {"armed": True},
    "sim": {"task": "drawer", "seed": 5},
}


@pytest.fixture
def mine(tmp_path: pathlib.Path) -> str:
    """A robot file that says everything that options say."""
    import yaml

    sections = {"/**": {"use_sim_time": True}, **{f"/**/{node}": SAID[node] for node in SAID}}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({k: {"ros__parameters": v} for k, v in sections.items()}))
    return str(path)


def in_nodes(found: list[Any]) -> dict[str, dict[str, Any]]:
    """What each node of these processes has, by the arguments that they are started with."""
    from cosmos3_ros.robot.parameter_file import in_force, merge
    from cosmos3_ros.ros.arguments import read_arguments

    values = {}
    for process in found:
        arguments = read_arguments(["program", *process.arguments()])
        merged = merge(sections for _, sections in arguments.sources)
        for node in process.nodes:
            values[node] = {k: s.value for k, s in in_force(merged, f"/{node}").items()}
    return values


def test_what_is_not_given_is_as_the_robot_file_says(mine: str) -> None:
    found = processes(Options(mine, server=True))
    assert [process.executable for process in found] == ["sim", "reasoner", "brain", "commander"]
    values = in_nodes(found)
    assert values.pop("sim") == SAID["sim"] | {"use_sim_time": True, "publish_clock": True}
    for node, has in values.items():
        assert has == SAID[node] | {"use_sim_time": True}
    assert not any(process.replaced for process in found)


def test_what_a_node_will_have_is_known_before_it_starts(mine: str) -> None:
    assert parameter_of(Options(mine), "policy", "checkpoint") == "/mine"
    assert parameter_of(Options(mine, checkpoint=""), "policy", "checkpoint") == ""
    assert parameter_of(Options(), "policy", "checkpoint") is None


def test_what_is_given_wins_and_is_said(mine: str) -> None:
    changes: dict[str, Any] = {"instruction": "", "device": "auto", "checkpoint": "", "port": 0}
    changes |= {"armed": False, "task": "lift", "seed": 0, "use_sim_time": False, "remote_url": ""}
    changes |= {"compile": False, "weights": "none", "placement": "both", "image_transport": "raw"}
    found = processes(Options(mine, server=True, **changes))
    values = in_nodes(found)
    assert not values["sim"].pop("publish_clock")
    assert values["sim"].pop("use_sim_time")  # whose own time it is
    for node, has in values.items():
        for name, value in changes.items():
            assert has.get(name, value) == value, node
    said = [line for process in found for line in process.replaced]
    assert f"policy: device 'auto' instead of 'cpu' ({mine}, line 11)" in said
    assert any(line.startswith("commander: armed False instead of True (") for line in said)
    assert sum("use_sim_time" in line for line in said) == 4
    assert not any(line.startswith("sim: publish_clock") for line in said)


def test_what_a_launch_file_would_rather_have_does_not_beat_the_robot_file(mine: str) -> None:
    fallback = {"use_sim_time": False, "host": "localhost"}
    values = in_nodes(processes(Options(mine, server=True), fallback))
    assert (values["commander"]["use_sim_time"], values["server"]["host"]) == (True, "0.0.0.0")
    fallback = {"use_sim_time": True}
    values = in_nodes(processes(Options(), fallback))
    assert values["commander"]["use_sim_time"]
    assert values["sim"]["publish_clock"]


def test_an_option_that_a_section_of_the_file_would_beat_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "mine.yaml"
    section = "'{}': {{ros__parameters: {{device: cpu}}}}\n"
    options = Options(str(path), reasoner=False, device="cuda")
    path.write_text("".join(map(section.format, ("policy", "/**/policy"))))
    assert in_nodes(processes(options))["policy"]["device"] == "cuda"
    path.write_text("".join(map(section.format, ("policy", "/**", "/**/policy"))))
    with pytest.raises(
        ValueError, match=r"without effect on /policy: .*line 3 stands in a section"
    ):
        processes(options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/**/commander: {ros__parameters: {max_jum: 1.0}}", "did you mean 'max_jump'"),
        ("/**/comander: {ros__parameters: {max_jump: 1.0}}", "there is no node 'comander'"),
        ("/**/commander: {ros__parameters: {velocity: [1, 0.5]}}", "mixes whole and other numbers"),
        ("", "it is empty"),
    ],
)
def test_a_robot_file_that_a_node_would_refuse_starts_nothing(
    tmp_path: pathlib.Path, text: str, words: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        processes(Options(str(path)))


def test_launch_arguments_say_when_nothing_is_given() -> None:
    for name, fallback, text in (
        ("armed", None, "as the robot file says"),
        ("use_sim_time", True, "as the robot file says, else true"),
    ):
        assert argument_text(name, None, fallback) == text
        assert parse_argument(name, text) is None
    assert argument_text("sim", True) == "true"
    assert [parse_argument(*given) for given in (("armed", "false"), ("device", "auto"))] == [
        False,
        "auto",
    ]
    with pytest.raises(ValueError, match="port: expected int, got 'many'"):
        parse_argument("port", "many")


def test_a_robot_file_may_hold_its_embodiment_or_name_a_file_beside_it(
    tmp_path: pathlib.Path,
) -> None:
    """The nodes get an absolute path; two embodiments in one file are a contradiction."""
    import yaml

    from cosmos3_ros.model.embodiment import EMBODIMENTS
    from cosmos3_ros.model.embodiment.embodiment_yaml import to_yaml
    from cosmos3_ros.robot.recorded_robot import read_robot

    robot, beside = tmp_path / "robot.yaml", tmp_path / "mine.yaml"
    six = EMBODIMENTS["six_axis"]
    shipped = yaml.safe_load((config_folder() / "generic_6axis.yaml").read_text())
    section = {"embodiment": {"ros__parameters": yaml.safe_load(to_yaml(six))}}
    named = {**shipped, **section}

    def given(sections: dict[str, Any], **changes: Any) -> dict[str, Any]:
        robot.write_text(yaml.safe_dump(sections, sort_keys=False))
        options = Options(str(robot), sim=False, server=True, port=0, checkpoint="/x", **changes)
        brain = next(p for p in processes(options) if "policy" in p.parameters)
        return {node: brain.parameters[node].get("embodiment") for node in ("policy", "server")}

    with pytest.raises(ValueError, match="embodiment 'six_axis', but the file has a section"):
        given(named)
    for node in ("policy", "server"):
        del named[f"/**/{node}"]["ros__parameters"]["embodiment"]
    assert given(named) == {"policy": str(robot), "server": str(robot)}
    assert read_robot(str(robot)).embodiment == six
    beside.write_text(to_yaml(six))
    del named["embodiment"]
    named["/**/policy"]["ros__parameters"]["embodiment"] = "mine.yaml"
    assert given(named) == {"policy": str(beside), "server": None}
    assert read_robot(str(robot)).embodiment == six


def test_the_path_of_a_robot_description_counts_from_the_robot_file(tmp_path: pathlib.Path) -> None:
    options = Options(robot="droid_sim_poses", checkpoint="mine", reasoner=False)
    _, policy, commander = processes(options)
    urdf = pathlib.Path(policy.parameters["policy"]["urdf"])
    assert urdf.is_absolute()
    assert urdf.read_text().startswith("<?xml")
    assert policy.replaced == ()
    assert "urdf" not in commander.parameters["commander"]
    robot = tmp_path / "mine.yaml"
    for value in ("topic:///robot_description", "/somewhere/else.urdf", "not/there.urdf"):
        robot.write_text(f"/**/commander: {{ros__parameters: {{urdf: '{value}'}}}}")
        (started,) = processes(Options(robot=str(robot), policy=False, reasoner=False, sim=False))
        assert "urdf" not in started.parameters["commander"]


def test_the_units_of_a_robot_are_its_own(tmp_path: pathlib.Path) -> None:
    """Degrees on its topics, rad in the embodiment; the gripper as the embodiment has it."""
    import numpy as np
    import yaml

    from cosmos3_ros.robot.recorded_robot import read_robot

    robot = tmp_path / "robot.yaml"
    shipped = yaml.safe_load((config_folder() / "generic_6axis.yaml").read_text())
    policy = shipped["/**/policy"]["ros__parameters"]
    del policy["gripper_open"], policy["gripper_closed"]
    policy["units"] = ["deg"] * 6 + ["fraction"]
    robot.write_text(yaml.safe_dump(shipped, sort_keys=False))
    assert read_robot(str(robot)).velocity[0] == 1.0  # the commander's, in its units
    del shipped["/**/commander"]
    robot.write_text(yaml.safe_dump(shipped, sort_keys=False))
    assert read_robot(str(robot)).velocity[0] == pytest.approx(720)  # of no joint is faster
    joints = read_robot(str(robot)).joints
    said = np.array([180.0, 90, 0, 0, 0, -90, 0.25], np.float32)
    inside = joints.to_policy(said)
    np.testing.assert_allclose(inside, [np.pi, np.pi / 2, 0, 0, 0, -np.pi / 2, 0.25], rtol=1e-6)
    policy["units"] = ["deg"] * 6
    robot.write_text(yaml.safe_dump(shipped, sort_keys=False))
    with pytest.raises(ValueError, match=r"'units' has 6 names .*, but embodiment six_axis has 7"):
        read_robot(str(robot))
    policy["units"] = ["mm", *["deg"] * 6]
    robot.write_text(yaml.safe_dump(shipped, sort_keys=False))
    with pytest.raises(ValueError, match=r"parameter 'units': joint_1: expected .*, got 'mm'"):
        read_robot(str(robot))


def test_a_scene_file_says_which_joints_the_simulation_has(tmp_path: pathlib.Path) -> None:
    """Its path counts from the robot file; the embedded checkpoint is for another robot."""
    import yaml

    here = pathlib.Path(__file__).parents[2] / "sim" / "scene_file"
    robot = tmp_path / "robot.yaml"
    sections = yaml.safe_load((config_folder() / "generic_6axis.yaml").read_text())
    sections["/**/sim"] = {"ros__parameters": {"scene": "scene.yaml", "task": "bow"}}
    for name in ("scene.yaml", "robot.xml"):
        (tmp_path / name).write_text((here / name).read_text())

    def start(**changes: Any) -> list[Any]:
        robot.write_text(yaml.safe_dump(sections, sort_keys=False))
        return processes(Options(str(robot), reasoner=False, **changes))

    with pytest.raises(ValueError, match=r"scene.yaml has no joint_1, .*; it has turn, bow, grip"):
        start()
    sections["/**/policy"]["ros__parameters"]["joints"] = ["turn", "bow", "grip"]
    sections["/**/commander"]["ros__parameters"]["joints"] = ["turn", "bow"]
    sections["/**/commander"]["ros__parameters"]["gripper_joint"] = "grip"
    sim, policy, _ = start()
    assert sim.parameters["sim"]["scene"] == str(tmp_path / "scene.yaml")
    assert sim.replaced == ()
    assert "embodiment" not in policy.parameters["policy"]
    sections["/**/sim"]["ros__parameters"]["scene"] = "elsewhere.yaml"
    with pytest.raises(ValueError, match=r"elsewhere.yaml: no such file"):
        start()
