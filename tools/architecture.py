# SPDX-License-Identifier: Apache-2.0
"""Writes the map in docs/architecture.md from module docstrings and imports.

`python tools/architecture.py` replaces what stands between the page's two markers. A test compares,
and keeps the direction: a part imports only parts that stand above it in ORDER, imports for types
included.
"""

import ast
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
MARKERS = ("<!-- map: written by tools/architecture.py -->", "<!-- end of map -->")
MOST_FILES = 15  # in one package
# The folders at the top, and the Python packages that they are installed as.
FOLDERS = {
    "model": "cosmos3_ros.model",
    "sim": "cosmos3_ros.sim",
    "serve": "cosmos3_ros.serve",
    "training": "cosmos3_ros.training",
    "cosmos3_ros": "cosmos3_ros",
}
# In the order in which data flow. A part is a package, or a module at the top of a folder.
ORDER = (
    "model/arrays",
    "model/media",
    "model/embodiment",
    "model/interface",
    "model/network",
    "model/runtime",
    "model/autoencoder",
    "model/loaded_model",
    "model/language",
    "model/diffusion",
    "model/acceleration",
    "model/checkpoint_io",
    "model/option_fields",
    "model/policy_options",
    "model/model_params",
    "model/shortcuts",
    "model/policy",
    "model/surprise",
    "model/policy_batch",
    "model/dynamics",
    "model/generator",
    "model/reasoner",
    "model/best_of",
    "model/registry",
    "model/follower",
    "model/generation",
    "cosmos3_ros/robot",
    "cosmos3_ros/execution",
    "sim",
    "serve",
    "cosmos3_ros/ros",
    "cosmos3_ros/nodes",
    "cosmos3_ros/brain",
    "cosmos3_ros/bringup",
    "cosmos3_ros/apps",
    "training/options",
    "training/video_options",
    "training/distill_options",
    "training/recipe",
    "training/start",
    "training/log",
    "training/data",
    "training/clips",
    "training/vqa",
    "training/evaluation",
    "training/worlds",
    "training/judge",
    "training/benchmarks",
    "training/dynamics",
    "training/optim",
    "training/stages",
    "training/video",
    "training/distillation",
    "training/train",
    "cosmos3_ros/graph_cli",
    "cosmos3_ros/embodiment_cli",
    "cosmos3_ros/generate_cli",
    "cosmos3_ros/task_cli",
    "cosmos3_ros/judge_cli",
    "cosmos3_ros/benchmark_cli",
    "cosmos3_ros/imagine_cli",
    "cosmos3_ros/live_cli",
    "cosmos3_ros/training_cli",
    "cosmos3_ros/dynamics_cli",
    "cosmos3_ros/calibrate_cli",
    "cosmos3_ros/messages_cli",
    "cosmos3_ros/cli",
)


@dataclasses.dataclass(frozen=True)
class Module:
    """One file of the product."""

    path: str  # below the root, without its suffix
    part: str  # one of ORDER
    line: str  # the first of its docstring
    imports: tuple[str, ...]  # paths of the modules it imports, wherever in the file


def _part(path: str) -> str:
    """The part of ORDER that a module belongs to; "" for the __init__ of a folder of parts."""
    words = path.split("/")
    for part in ("/".join(words[:2]), words[0]):
        if part in ORDER:
            return part
    return ""


def _dotted(path: str) -> str:
    top, *rest = path.removesuffix("/__init__").split("/")
    return ".".join((FOLDERS[top], *rest))


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names that a module in `package` imports: modules, or names inside of modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(
                (*(above if node.level else ()), *([node.module] if node.module else ()))
            )
            yield from (f"{base}.{alias.name}" for alias in node.names)


def read_modules() -> dict[str, Module]:
    """Every module of the product by its path."""
    files = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
    paths = [str(file.relative_to(ROOT).with_suffix("")) for file in files]
    known = {_dotted(path): path for path in paths}
    modules = {}
    for file, path in zip(files, paths, strict=True):
        tree = ast.parse(file.read_text())
        dotted = _dotted(path)
        package = dotted if path.endswith("/__init__") else dotted.rpartition(".")[0]
        found = {
            known.get(name) or known.get(name.rpartition(".")[0])
            for name in _imported(tree, package)
        }
        line = (ast.get_docstring(tree) or "").partition("\n")[0]
        imports = tuple(sorted(name for name in found if name and name != path))
        modules[path] = Module(path, _part(path), line, imports)
    return modules


def arrows(modules: Iterable[Module], by_path: dict[str, Module]) -> dict[str, set[str]]:
    """Part -> the parts that it imports."""
    found: dict[str, set[str]] = {part: set() for part in ORDER}
    for module in modules:
        for name in module.imports:
            other = by_path[name].part
            if module.part and other and other != module.part:
                found[module.part].add(other)
    return found


def wrong_way(modules: dict[str, Module]) -> list[str]:
    """Imports of a part that stands below, as "importer -> imported"."""
    rank = {part: number for number, part in enumerate(ORDER)}
    return [
        f"{module.path} -> {name}"
        for module in modules.values()
        for name in module.imports
        if module.part and modules[name].part and rank[modules[name].part] > rank[module.part]
    ]


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Nodes that import each other in a circle; empty if there is none."""
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph[node]):
            if found := visit(other, [*trail, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def _reach(graph: dict[str, set[str]], node: str) -> set[str]:
    """Everything that `node` imports, directly or not."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        fresh = graph[waiting.pop()] - found
        found |= fresh
        waiting += fresh
    return found


def _picture(graph: dict[str, set[str]]) -> Iterator[str]:
    """A Mermaid flowchart; arrows that follow from others are left out."""
    yield "```mermaid"
    yield "flowchart TD"
    for folder in FOLDERS:
        inside = [part for part in ORDER if part.partition("/")[0] == folder]
        yield f"  subgraph {folder}_folder[{folder}/]"
        yield from (f"    {part.replace('/', '_')}[{part}]" for part in inside)
        yield "  end"
    for part in ORDER:
        others = graph[part]
        implied = set().union(*(_reach(graph, other) for other in others)) if others else set()
        for other in (name for name in ORDER if name in others - implied):
            yield f"  {other.replace('/', '_')} --> {part.replace('/', '_')}"
    yield "```"


def page_map() -> str:
    """What stands between the markers of the page."""
    modules = read_modules()
    lines = [*_picture(arrows(modules.values(), modules)), ""]
    for part in ORDER:
        inside = [module for module in modules.values() if module.part == part]
        package = next((m for m in inside if m.path.endswith("__init__")), None)
        if package is None:  # a module at the top of a folder
            lines += [f"**`{m.path}.py`** {m.line}" for m in inside] + [""]
            continue
        lines += [
            f"### `{part}/`",
            "",
            package.line,
            "",
            "| module | what it is |",
            "| --- | --- |",
        ]
        names = ((m.path.removeprefix(f"{part}/"), m.line) for m in inside if m is not package)
        lines += [f"| `{name}` | {line.replace('|', chr(92) + '|')} |" for name, line in names]
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """The page with its map as the code is now."""
    before, _, rest = PAGE.read_text().partition(MARKERS[0])
    after = rest.partition(MARKERS[1])[2]
    return f"{before}{MARKERS[0]}\n\n{page_map()}\n{MARKERS[1]}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
