# SPDX-License-Identifier: Apache-2.0
"""What docs/security.md says is so: what listens, by default to whom, and what is never loaded."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell_lines import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
FOLDERS = ("cosmos3_ros", "model", "sim", "serve", "training", "launch")
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE = {"eval", "exec", "os.system", "os.popen", "torch.load", "yaml.unsafe_load"}
# What opens a socket for others, by the last name of the call; the websocket server's has another.
LISTENS = {
    "TCPSite", "UnixSite", "SockSite", "start_server", "create_server", "start_unix_server",
    "HTTPServer", "ThreadingHTTPServer", "TCPServer", "listen", "init_process_group", "TCPStore",
}  # fmt: skip


def modules() -> list[Path]:
    return [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]


def mentions(words: set[str]) -> dict[str, str]:
    """Sources by name, of the modules that have one of these words: only they are parsed."""
    some = re.compile("|".join(map(re.escape, sorted(words))))
    sources = {str(file.relative_to(ROOT)): file.read_text() for file in modules()}
    assert len(sources) > 200
    return {name: source for name, source in sources.items() if some.search(source)}


def name_of(function: ast.expr) -> str:
    """A called name as it is written: "torch.load"."""
    return ast.unparse(function) if isinstance(function, ast.Name | ast.Attribute) else ""


def calls(source: str) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield name_of(node.func), {word.arg: word.value for word in node.keywords if word.arg}


def imports(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def is_false(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def unsafe(source: str) -> list[str]:
    """What could run somebody else's code, as it is called."""
    found = sorted(imports(source) & UNPICKLERS)
    for name, words in calls(source):
        if name in UNSAFE:
            found.append(name)
        if "trust_remote_code" in words and not is_false(words["trust_remote_code"]):
            found.append("trust_remote_code")
        if name.endswith(".from_pretrained") and "trust_remote_code" not in words:
            found.append(f"{name} without trust_remote_code=False")
        if name in ("np.load", "numpy.load") and not is_false(words.get("allow_pickle")):
            found.append(f"{name} without allow_pickle=False")
        if "shell" in words and not is_false(words["shell"]):
            found.append("shell=True")
        if "weights_only" in words:
            found.append("weights_only")
    return found


SUSPECT = {
    *UNPICKLERS,
    *(f"{name}(" for name in UNSAFE),
    *("trust_remote_code", "from_pretrained", ".load(", "shell", "weights_only"),
}


def test_nothing_of_others_is_executed() -> None:
    found = {name: unsafe(source) for name, source in mentions(SUSPECT).items()}
    assert "model/checkpoint_io/loader.py" in found  # which reads tokenizers
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "torch.load(file)",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "AutoModel.from_pretrained(folder)",
        "AutoModel.from_pretrained(folder, trust_remote_code=options.trust)",
        "subprocess.run(line, shell=True)",
        "eval(text)",
    ],
)
def test_what_would_be_executed_would_be_found(source: str) -> None:
    assert unsafe(source)


def test_yaml_is_read_by_safe_loaders() -> None:
    """Those of the modules themselves are made of a safe one."""
    for name, source in mentions({"yaml."}).items():
        assert not re.search(r"yaml\.(Full|Unsafe|C)?Loader\b", source), name


def test_of_the_hub_no_code_is_fetched() -> None:
    from cosmos3_ros.model.checkpoint_io.foreign import HUB_FILES

    assert {pattern.rpartition(".")[2] for pattern in HUB_FILES} == {
        "json", "yaml", "jinja", "txt", "safetensors",
    }  # fmt: skip


def listeners() -> set[str]:
    found = set()
    for name, source in mentions({f"{word}(" for word in LISTENS}).items():
        called = {call.rpartition(".")[2] for call, _ in calls(source)}
        # of `topic_survey.py`: a subscription's own
        if called & LISTENS and "listener.listen(" not in source:
            found.add(name)
    return found


def test_every_module_that_listens_is_on_the_page() -> None:
    found = listeners()
    assert found == {
        "serve/http_server.py",
        "serve/openpi_server.py",
        "model/runtime/process_group.py",
        "model/runtime/rank_processes.py",
    }
    assert {name for name in found if f"`{name}`" not in PAGE} == set()


def servers() -> dict[str, tuple[str, int]]:
    """Name on the page -> address and port that it has by default."""
    from cosmos3_ros.nodes.known_parameters import PARAMS
    from cosmos3_ros.serve.cli import add_serve

    parser = argparse.ArgumentParser()
    add_serve(parser.add_subparsers())
    serve = subcommands(parser)["serve"]
    found = {
        f"cosmos3 serve {kind}": (each.get_default("host"), each.get_default("port"))
        for kind, each in subcommands(serve).items()
    }
    for node in ("server", "console"):
        params = PARAMS[node]()
        found[node] = (params.host, params.port)
    return found


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def test_the_table_of_what_listens_is_that_of_the_code() -> None:
    told = {
        name: (host, int(port))
        for name, host, port in re.findall(
            r"^\| (?:node )?`([^`]+)`[^|]*\| ([\d.]+):(\d+) \|", PAGE, re.M
        )
    }
    assert told == servers()
    assert {host for host, _ in told.values()} == {"127.0.0.1"}


def test_what_the_page_names_is_there() -> None:
    for name in re.findall(r"`((?:test|bench|serve|model|training|sim)/[\w/.]+)`", PAGE):
        assert (ROOT / name).exists(), name
