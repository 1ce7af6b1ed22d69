# SPDX-License-Identifier: Apache-2.0
"""Complete a bill of materials with the licenses of ROS packages, and write a table of all of it.

    tools/licenses.py SBOM.json SHARE

SBOM.json: CycloneDX JSON of cyclonedx-py, rewritten in place. SHARE: the folder with the ROS
packages' manifests (`share/NAME/package.xml`): their wheels state no license, manifests do. The
table goes to stdout as Markdown; what states none anywhere is named on stderr.
"""

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

UNKNOWN = "not stated"
Component = dict[str, Any]


def manifest_licenses(share: Path) -> dict[str, str]:
    """Licenses by the names of ROS packages: "rclpy": "Apache License 2.0"."""
    found = {}
    for manifest in sorted(share.glob("*/package.xml")):
        stated = [element.text or "" for element in ElementTree.parse(manifest).iter("license")]
        found[manifest.parent.name] = " AND ".join(text.strip() for text in stated)
    return found


def complete(components: list[Component], manifests: dict[str, str]) -> None:
    """State the license of each ROS wheel ("ros-std-msgs", "std_msgs") as its manifest does."""
    for component in components:
        name = component["name"].removeprefix("ros-").replace("-", "_")
        if not component.get("licenses") and name in manifests:
            component["licenses"] = [{"license": {"name": manifests[name]}}]


def license_of(component: Component) -> str:
    """Its licenses as one line."""
    stated = []
    for entry in component.get("licenses", ()):
        license_ = entry.get("license", {})
        name = entry.get("expression") or license_.get("id") or license_.get("name")
        stated.append(name.rpartition(":: ")[2])  # of a classifier the last part
    # a wheel may state the same as a field and as a classifier
    return "; ".join(dict.fromkeys(stated)) or UNKNOWN


def table(components: list[Component]) -> str:
    """Markdown with a line for each component, by name."""
    lines = ["| package | version | license |", "| --- | --- | --- |"]
    for component in sorted(components, key=lambda component: component["name"].lower()):
        version, license_ = component.get("version", ""), license_of(component)
        lines.append(f"| {component['name']} | {version} | {license_} |")
    return "\n".join(lines)


def main(sbom: Path, share: Path) -> None:
    """Rewrite the bill, print the table."""
    bill = json.loads(sbom.read_text())
    components = bill.get("components", [])
    complete(components, manifest_licenses(share))
    sbom.write_text(json.dumps(bill, indent=2) + "\n")
    print(table(components))
    silent = [each["name"] for each in components if license_of(each) == UNKNOWN]
    if silent:
        print(f"{len(silent)} state no license: {', '.join(silent)}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: tools/licenses.py SBOM.json SHARE")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
