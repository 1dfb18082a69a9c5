"""Folders appear whole or not at all."""

import pytest

from rankone.files import replacing_folder


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError):
        with replacing_folder(tmp_path / "folder") as target:
            (target / "half").write_text("half")
            raise RuntimeError
    assert not list(tmp_path.iterdir())
    with replacing_folder(tmp_path / "folder") as target:
        (target / "whole").write_text("whole")
        (target.parent / "scratch").write_text("beside it")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "whole"]


def test_a_folder_replaces_the_one_before(tmp_path):
    for name in ("old", "new"):
        with replacing_folder(tmp_path / "folder") as target:
            (target / name).write_text(name)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]


def test_work_that_was_stopped_goes_on_from_its_state(tmp_path):
    state, folder = tmp_path / "state" / "download", tmp_path / "folder"
    with pytest.raises(RuntimeError):
        with replacing_folder(folder, state) as target:
            (target / "first").write_text("1")
            raise RuntimeError
    assert not folder.exists()
    with replacing_folder(folder, state) as target:
        (target / "second").write_text("2")
    assert {path.name for path in folder.iterdir()} == {"first", "second"}
    assert not state.exists()
