# SPDX-License-Identifier: Apache-2.0
"""Images, compose files and workflows name what is there, and nothing that is said elsewhere."""

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from shell_lines import ROOT, read_lines

DOCKERFILES = sorted((ROOT / "docker").glob("*Dockerfile"))
COMPOSE = sorted((ROOT / "docker").glob("compose*.yaml"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LISTS = sorted((ROOT / "tools").glob("apt-*.txt"))


def instructions(file: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile: pairs such as ("RUN", "make setup")."""
    lines = re.sub(r"\\\n", " ", file.read_text()).splitlines()
    words = (line.split(maxsplit=1) for line in lines if line.strip() and line[0] != "#")
    return [(word.upper(), rest) for word, rest in words]


def listed(file: Path) -> list[str]:
    return re.sub("#.*", "", file.read_text()).split()


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and line[0] != "#"]
    parents = [str(parent) for parent in (Path(path), *Path(path).parents)][:-1]
    return any(
        fnmatch.fnmatch(part if rule.startswith("**/") else name, rule.removeprefix("**/"))
        for rule in rules
        for name in parents
        for part in (Path(name).name,)
    )


def test_both_images_are_looked_at() -> None:
    assert [file.name for file in DOCKERFILES] == ["Dockerfile", "jazzy.Dockerfile"]
    assert len(COMPOSE) == 2
    assert len(WORKFLOWS) == 1


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_what_is_copied_is_there_and_not_ignored(file: Path) -> None:
    copies = [rest.split() for word, rest in instructions(file) if word in ("COPY", "ADD")]
    assert copies
    for words in copies:
        *sources, _ = (word for word in words if not word.startswith("--"))
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source == "." or not ignored(source.rstrip("/")), source


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_images_run_scripts_and_say_no_package_again(file: Path) -> None:
    """What is installed stands in lists, which scripts read: an image names neither."""
    for word, rest in instructions(file):
        if word == "RUN":
            assert not re.search(r"apt(-get)? install|pip3? install|==|curl|wget", rest), rest
            for program in re.findall(r"(?:^|&& )(?:\S*/)?((?:\w+)\.sh)", rest):
                assert (ROOT / "tools" / program).stat().st_mode & 0o111, program
    last = [rest for word, rest in instructions(file) if word == "USER"][-1]
    assert last not in ("root", "0")
    (entry,) = (rest for word, rest in instructions(file) if word == "ENTRYPOINT")
    program = re.search(r'"/[^"]*/cosmos3_ros/([^"]+)"', entry)[1]
    assert (ROOT / program).stat().st_mode & 0o111, "the entry point is no program"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone: git says what is kept")
def test_what_git_keeps_goes_into_the_image() -> None:
    kept = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert [name for name in kept if ignored(name)] == []
    for made in (".git", ".venv/bin/python", "out/token", "test/__pycache__/a.pyc", ".mypy_cache"):
        assert ignored(made), made


def test_the_lists_of_packages_are_those_that_people_are_told() -> None:
    """README has them in lines to type; `make` names those that are missing."""
    told = [
        line.text.split()[3:]
        for line in read_lines(ROOT / "README.md")
        if line.text.startswith("sudo apt-get install")
    ]
    wheels, jazzy = (
        set(listed(ROOT / "tools" / f"apt-{name}.txt")) for name in ("wheels", "jazzy")
    )
    # git fetches what the other words need; Python is there, or its packages bring it
    assert any({*words} - {"git"} == wheels - {"python3"} for words in told), told
    assert any({*words} == jazzy for words in told), told
    source = (ROOT / "tools" / "setup_env.py").read_text()
    for package in wheels - {"python3", "python3-venv", "python3-dev"}:
        assert re.search(rf'[" ]{re.escape(package)}[" ]', source), package


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_compose_files_build_what_is_there(file: Path) -> None:
    services = yaml.safe_load(file.read_text())["services"]
    assert {*services} == {"simulation", "policy", "console"}
    for service in services.values():
        assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_of_the_containers_only_the_console_is_reached_from_this_machine_alone() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    services = compose["services"]
    assert [service["ports"] for service in services.values() if "ports" in service] == [
        ["127.0.0.1:8090:8090"]
    ]
    for name in ("policy", "console"):  # or they would not hear each other on the loopback
        assert services[name]["network_mode"] == services[name]["ipc"] == "service:simulation"
    for service in services.values():
        assert service["environment"]["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert service["cap_drop"] == ["ALL"]
    assert services["policy"]["volumes"][0].endswith(":/weights:ro")
    secret = compose["secrets"]["console_token"]["file"]
    assert ignored(re.search(r":-\.\./(.+)}", secret)[1])


@pytest.mark.ros
def test_containers_start_what_exists() -> None:
    from line_checks import check_cosmos3

    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    for service in compose["services"].values():
        program, *words = service["command"]
        assert program == "cosmos3"
        check_cosmos3(words)


@pytest.mark.ros
@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_run_what_is_there_with_actions_that_cannot_change(file: Path) -> None:
    from line_checks import check_make

    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}|", step.get("uses", ""))
            for word in step.get("run", "").split():
                if re.search(r"(tools|docker|\.ci)/", word):
                    assert (ROOT / word.removeprefix("src/cosmos3_ros/")).is_file(), word
            if step.get("run", "").startswith("make "):
                check_make(step["run"].split()[1:])


def test_the_steps_of_jazzy_are_its_functions() -> None:
    script = (ROOT / "tools" / "jazzy.sh").read_text()
    functions = re.findall(r"^do_(\w+)\(\) \{", script, re.M)
    usage = re.search(r"usage: tools/jazzy.sh (\S+?)\.\.\.", script)[1].split("|")
    assert functions == usage
    used = re.findall(
        r"jazzy\.sh ([a-z ]+)", "".join(file.read_text() for file in (*DOCKERFILES, *WORKFLOWS))
    )
    assert {word for words in used for word in words.split()} == {*functions}


@pytest.mark.parametrize(("installed", "asked"), [(True, False), (False, True)])
def test_apt_is_asked_only_for_what_is_missing(
    tmp_path: Path, installed: bool, asked: bool
) -> None:
    (tmp_path / "list.txt").write_text("# a comment\none   # why\ntwo\n")
    for name, code in (("dpkg", 0 if installed else 1), ("apt-get", 0)):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/log\nexit {code}\n')
        program.chmod(0o755)
    done = subprocess.run(
        [ROOT / "tools" / "apt_install.sh", tmp_path / "list.txt"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=False,
    )
    lines = (tmp_path / "log").read_text().splitlines()
    assert done.returncode == 0
    assert lines[0] == "dpkg -s one two"
    install = "apt-get install -y --no-install-recommends one two"
    assert lines[1:] == (["apt-get update", install] if asked else [])
