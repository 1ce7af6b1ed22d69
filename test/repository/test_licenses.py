# SPDX-License-Identifier: Apache-2.0
"""`make licenses`: the licenses of ROS wheels come from their manifests, the table has all."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = [
    {"name": "torch", "version": "2", "licenses": [{"license": {"id": "BSD-3-Clause"}}]},
    {"name": "av", "version": "1", "licenses": [{"expression": "BSD-3-Clause AND MIT"}]},
    {
        "name": "attrs",
        "version": "3",
        "licenses": [
            {"license": {"id": "MIT"}},
            {"license": {"name": "License :: OSI Approved :: MIT License"}},
        ],
    },
    {"name": "ros-two-licenses", "version": "4"},
    {"name": "std_msgs", "version": "5"},
    {"name": "Silent", "version": "6"},
]
TABLE = """\
| package | version | license |
| --- | --- | --- |
| attrs | 3 | MIT; MIT License |
| av | 1 | BSD-3-Clause AND MIT |
| ros-two-licenses | 4 | MIT AND Apache License 2.0 |
| Silent | 6 | not stated |
| std_msgs | 5 | Apache License 2.0 |
| torch | 2 | BSD-3-Clause |
"""


def manifest(share: Path, name: str, *licenses: str) -> None:
    (share / name).mkdir(parents=True)
    lines = "".join(f"<license> {text} </license>" for text in licenses)
    (share / name / "package.xml").write_text(f"<package><name>{name}</name>{lines}</package>")


def test_table_and_bill(tmp_path: Path) -> None:
    bill, share = tmp_path / "bill.json", tmp_path / "share"
    bill.write_text(json.dumps({"bomFormat": "CycloneDX", "components": COMPONENTS}))
    manifest(share, "std_msgs", "Apache License 2.0")
    manifest(share, "two_licenses", "MIT", "Apache License 2.0")
    manifest(share, "torch", "none of ours")  # what a wheel states itself stays
    command = [sys.executable, str(ROOT / "tools" / "licenses.py"), str(bill), str(share)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == TABLE
    assert done.stderr == "1 state no license: Silent\n"
    rewritten = json.loads(bill.read_text())
    assert rewritten["bomFormat"] == "CycloneDX"
    stated = {each["name"]: each.get("licenses") for each in rewritten["components"]}
    assert stated["std_msgs"] == [{"license": {"name": "Apache License 2.0"}}]
    assert stated["torch"] == COMPONENTS[0]["licenses"]
