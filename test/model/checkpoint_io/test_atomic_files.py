# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are written whole or not at all: a fault at every operation on them."""

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cosmos3_ros.model.checkpoint_io import atomic_files
from cosmos3_ros.model.checkpoint_io.atomic_files import (
    alone,
    copy_tree,
    recover,
    rewritten,
    write_safetensors,
    write_text,
)

OPERATIONS = ("replace", "rename", "link", "fsync", "chmod", "mkdir", "rmdir", "unlink", "open")


class Stopped(BaseException):
    """What a kill is to the code: nothing that it catches, and nothing more happens after it."""


class Faults:
    """The operation number `at` of those on files fails; after a kill all do."""

    def __init__(self, monkeypatch, fault, at):
        self.count, self.at, self.fault, self.dead = 0, at, fault, False
        monkeypatch.setattr(os, "fsync", lambda _: None)  # it takes most of the time
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, function):
        def watched(*args, **options):
            if self.dead:
                raise Stopped
            self.count += 1
            if self.count - 1 == self.at:
                self.dead = self.fault is Stopped
                raise self.fault
            return function(*args, **options)

        return watched


FAULTS = [Stopped, OSError(28, "No space left on device"), PermissionError(13, "Permission denied")]


def make(folder, value):
    """A checkpoint of two parts that belong together."""
    with rewritten(folder) as draft:
        (draft / "part").mkdir(parents=True, exist_ok=True)
        old = draft / "part" / "w.safetensors"
        old.unlink(missing_ok=True)
        write_safetensors(old, {"w": torch.full((3,), float(value))})
        (draft / "config.json").write_text(str(value))


def value_of(folder):
    values = {
        int((folder / "config.json").read_text()),
        int(load_file(folder / "part" / "w.safetensors")["w"][0]),
    }
    assert len(values) == 1, "parts of two versions"
    return values.pop()


@pytest.mark.parametrize("fault", FAULTS, ids=["kill", "disk full", "no permission"])
def test_a_folder_is_the_old_or_the_new_one_after_a_fault_at_any_operation(tmp_path, fault):
    """And the next writer leaves nothing behind."""
    at = reached = 0
    while True:
        folder = tmp_path / str(at) / "checkpoint"
        make(folder, 1)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, fault, at)
            try:
                make(folder, 2)
            except (Stopped, OSError):
                reached += 1
        recover(folder)
        assert value_of(folder) in (1, 2)
        make(folder, 3)
        assert value_of(folder) == 3
        assert [place.name for place in folder.parent.iterdir()] == ["checkpoint"]
        if faults.count <= at:
            break
        at += 1
    assert reached > 20


@pytest.mark.parametrize("fault", FAULTS, ids=["kill", "disk full", "no permission"])
def test_a_file_is_the_old_or_the_new_one_after_a_fault_at_any_operation(tmp_path, fault):
    file, at = tmp_path / "recipe.yaml", 0
    while True:
        write_text(file, "old")
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, fault, at)
            try:
                write_text(file, "new")
            except (Stopped, OSError):
                assert faults.count > at
        assert file.read_text() in ("old", "new")
        if faults.count <= at:
            break
        at += 1
    assert at >= 4


def test_a_folder_that_is_not_finished_does_not_exist(tmp_path):
    def stop():
        with rewritten(tmp_path / "checkpoint") as draft:
            draft.mkdir()
            (draft / "half").touch()
            raise KeyError

    with pytest.raises(KeyError):
        stop()
    assert not any(tmp_path.iterdir())


def test_links_to_weights_are_not_written_through(tmp_path):
    """What is not replaced costs no room, and what is replaced does not change the old folder."""
    make(tmp_path / "c", 1)
    kept = tmp_path / "c" / "part" / "w.safetensors"
    inode = kept.stat().st_ino
    with rewritten(tmp_path / "c") as draft:
        assert (draft / "part" / "w.safetensors").stat().st_ino == inode
        (draft / "config.json").write_text("2")
        assert (tmp_path / "c" / "config.json").read_text() == "1"
    assert kept.stat().st_ino == inode


def test_a_disk_without_links_has_copies(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(1, "Operation not permitted")

    make(tmp_path / "c", 1)
    monkeypatch.setattr(atomic_files.os, "link", refuse)
    make(tmp_path / "c", 2)
    assert value_of(tmp_path / "c") == 2


def test_a_read_only_folder_is_copied_to_one_that_may_be_changed(tmp_path):
    """Hidden files stay behind, and links to files become files."""
    source = tmp_path / "hub"
    (source / "transformer").mkdir(parents=True)
    save_file({"w": torch.zeros(2)}, source / "blob")
    (source / "transformer" / "w.safetensors").symlink_to(source / "blob")
    (source / ".git").mkdir()
    for place in (source / "blob", source / "transformer", source):
        place.chmod(place.stat().st_mode & ~0o222)
    copy_tree(source, tmp_path / "copy")
    copied = tmp_path / "copy" / "transformer" / "w.safetensors"
    assert not copied.is_symlink()
    assert copied.stat().st_mode & stat.S_IWUSR
    assert copied.parent.stat().st_mode & stat.S_IWUSR
    assert not (tmp_path / "copy" / ".git").exists()


def test_weights_are_as_readable_as_other_files(tmp_path):
    """safetensors alone writes them for their user only."""
    (tmp_path / "other").touch()
    write_safetensors(tmp_path / "w.safetensors", {"w": torch.zeros(2)})
    modes = {Path(tmp_path / name).stat().st_mode for name in ("other", "w.safetensors")}
    assert len(modes) == 1
    with pytest.raises(OSError, match=r"w\.safetensors"):
        write_safetensors(tmp_path / "no" / "w.safetensors", {"w": torch.zeros(2)})


def test_an_error_names_the_file_and_not_its_draft(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError) as refused:
        write_text(tmp_path / "no" / "x.json", "{}")
    assert refused.value.filename == str(tmp_path / "no" / "x.json")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as refused:
        write_text(tmp_path / "x.json", "{}")
    assert refused.value.filename == str(tmp_path / "x.json")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_one_at_a_time_writes_to_a_file(tmp_path):
    file = tmp_path / "x.json"
    with alone(file):
        with pytest.raises(ValueError, match=r"x\.json: another process"), alone(file):
            pass
        with alone(tmp_path / "y.json"), alone(None):
            pass
    with alone(file):
        pass
    (tmp_path / ".x.json.lock").mkdir()  # what cannot be written
    with pytest.raises(IsADirectoryError) as refused, alone(file):
        pass
    assert refused.value.filename == str(file)
    (tmp_path / ".x.json.lock").rmdir()
    assert not [*tmp_path.iterdir()]
