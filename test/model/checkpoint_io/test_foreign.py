# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the family that are not run here are refused by name, wherever one is loaded."""

import json
from pathlib import Path

import pytest

from cosmos3_ros.cli import main
from cosmos3_ros.model.checkpoint_io.foreign import (
    SHIPPED,
    check_family,
    checkpoint_path,
    find_checkpoint,
    find_foreign,
)
from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.summary import report
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.generation.checkpoint_kind import read_kind
from cosmos3_ros.model.registry import embedded_checkpoint

BIMANUAL, TRANSFER = "Cosmos3-Nano-Sim-Bimanual", "Cosmos3-Nano-Sim-Transfer"
AUTO, CAMERAS = "Cosmos3-Nano-Sim-Auto", "Cosmos3-Nano-Transfer-Auto"


def write(folder, name="checkpoint", config=None, index=None):
    """A folder with these additions to the json files of the tiny checkpoint, and its weights."""
    made = folder / name
    (made / "transformer").mkdir(parents=True)
    tiny = tiny_checkpoint()
    for file, more in (("transformer/config.json", config), ("model_index.json", index)):
        fields = json.loads((tiny / file).read_text())
        (made / file).write_text(json.dumps(fields | (more or {})))
    for part in tiny.iterdir():
        if not (made / part.name).exists():
            (made / part.name).symlink_to(part)
    for part in (tiny / "transformer").glob("*.safetensors"):
        (made / "transformer" / part.name).symlink_to(part)
    return made


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"config": {"cosmos3_nano_sim_bimanual": {"schema_version": 1}}}, BIMANUAL),
        ({"config": {"cosmos_dreams": {"chunk_size": 4}}}, BIMANUAL),
        ({"index": {"_class_name": "Cosmos3NanoSimBimanualPipeline"}}, BIMANUAL),
        ({"index": {"_name_or_path": "nvidia/Cosmos3-Nano-Sim-Bimanual"}}, BIMANUAL),
        ({"name": "Cosmos3-Nano-Sim-Bimanual"}, BIMANUAL),
        ({"name": "models--nvidia--Cosmos3-Nano-Sim-Bimanual/snapshots/0a1b"}, BIMANUAL),
        (
            {"config": {"cosmos3_nano_sim_bimanual": {"conditioning": {"mode": "control_video"}}}},
            TRANSFER,
        ),
        ({"index": {"_class_name": "CosmosDreamsTransferPipeline"}}, TRANSFER),
        ({"config": {"cosmos3_nano_sim_auto": {}}}, AUTO),
        ({"config": {"multiview": {"max_views": 11}}}, CAMERAS),
        ({"config": {"backbone_type": "cosmos3_multiview"}}, CAMERAS),
    ],
)
def test_who_runs_it_is_said_in_one_line(tmp_path, capfd, change, name):
    folder = write(tmp_path, **change)
    with pytest.raises(ValueError, match=f"is a .*{name}.*, not run here; vLLM-Omni .*runs it$"):
        load_model(folder)
    assert (
        main(["generate", "a cup", "--out", str(tmp_path / "out"), "--checkpoint", str(folder)])
        == 1
    )
    said = capfd.readouterr().err.strip()
    assert name in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()
    assert main(["inspect", str(folder)]) == 1
    assert f"not ours    {find_foreign(folder).what}" in capfd.readouterr().out


def test_ours_are_not_refused(tmp_path):
    for folder in (tiny_checkpoint(), embedded_checkpoint()):
        check_family(folder)
    # names that only look alike, and base checkpoints with their sound heads
    check_family(write(tmp_path, "my-cosmos3-nano-transfer-automation"))
    check_family(write(tmp_path, "base", {"sound_gen": True}))
    check_family(tmp_path)  # that nothing is there, the loader says


def test_sound_is_refused_where_it_is_asked_for(tmp_path, capfd):
    lines = tmp_path / "batch.jsonl"
    lines.write_text('{"prompt": "a cup", "enable_sound": true}\n{"prompt": "b", "edge": 1}\n')
    assert main(["generate", "--batch", str(lines), "--out", str(tmp_path / "out")]) == 1
    said = capfd.readouterr().err
    assert "batch.jsonl:1: enable_sound: sound is not generated here" in said
    assert "vLLM-Omni and the Cosmos framework run them" in said
    assert "batch.jsonl:2: unknown field 'edge'" in said


def cached(tmp_path):
    snapshots = tmp_path / "models--nvidia--Cosmos3-Nano" / "snapshots"
    for name in ("0a1b", "9f8e"):
        (snapshots / name / "transformer").mkdir(parents=True)
    (snapshots.parent / "refs").mkdir()
    (snapshots.parent / "refs" / "main").write_text("0a1b")
    return snapshots.parent


def adapter(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "nvidia/Cosmos3"}')
    (tmp_path / "adapter_model.safetensors").touch()
    return tmp_path


def inside(tmp_path):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "vae").mkdir()
    return tmp_path / "vae"


def around(tmp_path):
    (tmp_path / "step-100" / "transformer").mkdir(parents=True)
    return tmp_path


def of_transformers(tmp_path):
    (tmp_path / "model.safetensors").touch()
    return tmp_path


def a_file(tmp_path):
    (tmp_path / "model.safetensors").touch()
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cached, "the Hub's cache of a repository, expected its snapshot .*snapshots/0a1b$"),
        (adapter, r"an adapter \(LoRA\) of nvidia/Cosmos3, not a checkpoint; expected the folder"),
        (inside, "vae has no transformer/: a part of a checkpoint, expected "),
        (around, "expected a checkpoint inside it, such as .*/step-100$"),
        (
            of_transformers,
            "a model in the layout of transformers, expected a checkpoint in the Hub",
        ),
        (a_file, "no folder .*model.safetensors but a file; expected a checkpoint in the Hub"),
        (lambda tmp_path: tmp_path, "has no transformer/: it is empty, expected a checkpoint"),
    ],
)
def test_other_folders_say_what_they_are(tmp_path, make, message):
    folder = make(tmp_path)
    for refuse in (load_model, report, lambda path: read_kind(Path(path))):
        with pytest.raises(ValueError, match=message):
            refuse(folder)


def test_names_of_the_hub_are_told_from_folders(monkeypatch):
    with pytest.raises(
        ValueError,
        match=r"no folder nvidia/Cosmos3-Nano; if .* hf download nvidia/Cosmos3-Nano --local-dir C",
    ):
        find_checkpoint("nvidia/Cosmos3-Nano")
    with pytest.raises(ValueError, match=r"no folder /does/not/exist$"):
        find_checkpoint("/does/not/exist", download=True)
    with pytest.raises(ValueError, match=r"no folder ~nobody-of-that-name/x$"):
        find_checkpoint("~nobody-of-that-name/x")


def test_a_repository_that_cannot_be_fetched_is_one_line(monkeypatch):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fail(name, **_):
        raise LocalEntryNotFoundError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(
        ValueError, match=r"^checkpoint: a/b is not in the Hub's cache, and .*reached$"
    ):
        find_checkpoint("a/b", download=True)


def test_checkpoints_that_come_with_the_package_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert find_checkpoint("metaworld") == SHIPPED / "metaworld"
    assert checkpoint_path("droid_sim") == checkpoint_path("embedded") == embedded_checkpoint()
    assert checkpoint_path("~/metaworld") == tmp_path / "home" / "metaworld"
    for other in ("./metaworld/", "out/metaworld", "metaworlds", "", ".", ".."):
        assert not checkpoint_path(other).is_relative_to(SHIPPED)
    (tmp_path / "metaworld").mkdir()  # one's own comes first
    assert checkpoint_path("metaworld") == Path("metaworld")
