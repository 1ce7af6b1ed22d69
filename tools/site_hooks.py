# SPDX-License-Identifier: Apache-2.0
"""What mkdocs makes of this repository: README as first page, linked files, the reference.

Pages link to one another as they do in the repository. What they link to outside of docs/ goes to
files/ in the site, under its path here; a folder becomes a list of its files. A link to nothing is
an error of `mkdocs build --strict`, as any other.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File
from reference import reference_pages

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
CODE = re.compile(r"^(```.*?^```|    .*?$)", re.MULTILINE | re.DOTALL)
FIRST = "README.md"


def on_files(files: Any, config: Any) -> Any:
    """Add the first page, the reference, and all that is linked to outside of docs/."""
    pages = {FIRST: (ROOT / FIRST).read_text(encoding="utf-8")}
    for file in sorted((ROOT / "docs").rglob("*.md")):
        pages[f"docs/{file.relative_to(ROOT / 'docs').as_posix()}"] = file.read_text("utf-8")
    waiting, known = list(pages), set(pages)
    while waiting:
        origin = waiting.pop()
        for target in _linked(origin, pages.get(origin, "")):
            if target in known or not (ROOT / target).exists():
                continue
            known.add(target)
            if target.startswith("docs/"):
                continue
            if (ROOT / target).is_dir():
                text = _listing(target)
                pages[f"{target}/index.md"] = text
                waiting.append(f"{target}/index.md")
                files.append(File.generated(config, f"files/{target}/index.md", content=text))
            elif target.endswith(".md"):
                pages[target] = (ROOT / target).read_text(encoding="utf-8")
                waiting.append(target)
                files.append(File.generated(config, place(target), content=pages[target]))
            else:
                source = str(ROOT / target)
                files.append(File.generated(config, place(target), abs_src_path=source))
    files.append(File.generated(config, "index.md", content=pages[FIRST]))
    for name, text in reference_pages().items() if config.nav else ():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links of a page from where they point in the repository to where that is in the site."""
    del config, files
    origin = source(page.file.src_uri)

    def lead(match: re.Match[str]) -> str:
        path, hash_, anchor = match[2].partition("#")
        if not path or _is_address(match[2]):
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        there = place(f"{target}/index.md" if (ROOT / target).is_dir() else target)
        relative = posixpath.relpath(there, posixpath.dirname(page.file.src_uri) or ".")
        return f"{match[1]}{relative}{hash_}{anchor}{match[3]}"

    parts = CODE.split(markdown)
    return "".join(
        part if CODE.fullmatch(part) else LINK.sub(lead, part) for part in parts if part is not None
    )


def place(path: str) -> str:
    """Where a path of the repository is in the site."""
    if path == FIRST:
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}"


def source(uri: str) -> str:
    """Where in the repository a page of the site comes from; the inverse of `place`."""
    if uri == "index.md":
        return FIRST
    return uri.removeprefix("files/") if uri.startswith("files/") else f"docs/{uri}"


def _linked(origin: str, text: str) -> Iterator[str]:
    for match in LINK.finditer(CODE.sub("", text)):
        path = match[2].partition("#")[0]
        if path and not _is_address(match[2]):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))


def _is_address(target: str) -> bool:
    return bool(re.match(r"[a-z]+:", target))


def _listing(folder: str) -> str:
    names = sorted(path.name for path in (ROOT / folder).iterdir() if path.is_file())
    return "\n".join([f"# {folder}", "", *(f"- [{name}]({name})" for name in names)]) + "\n"
