import errno
import os
import stat
from pathlib import Path

import pytest

from search.errors import StudyError
from search.home import Home, find_home, make_private, writing


def test_the_variable_names_the_home_else_the_working_folder_holds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_home({"EDGESEARCH_HOME": "/somewhere"}).root == Path("/somewhere")
    assert find_home({}).root == find_home({"EDGESEARCH_HOME": ""}).root == tmp_path / "edgesearch-home"


def test_the_process_environment_is_looked_at_by_default(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGESEARCH_HOME", str(tmp_path / "mine"))
    assert find_home().root == tmp_path / "mine"


def test_naming_paths_makes_nothing(tmp_path):
    home = Home(tmp_path / "home")
    named = (
        home.studies_db,
        home.mlflow_uri,
        home.artifacts,
        home.data,
        home.weights,
        home.locks,
        home.ray_token,
    )
    assert len({str(n) for n in named}) == len(named)
    assert not home.root.exists()


def test_a_relative_home_does_not_move_with_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = Home(Path("here"))
    monkeypatch.chdir("/")
    assert home.root == tmp_path / "here"
    assert home.studies_db == f"sqlite:///{tmp_path}/here/studies.db"


def test_folders_are_private_and_can_be_made_again(tmp_path):
    home = Home(tmp_path / "a b" / "home")
    home.ensure_writable()
    home.ensure_writable()
    for folder in (home.root, home.artifacts, home.data, home.weights, home.locks, home.mlflow_artifacts):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not [p for p in home.root.iterdir() if p.is_file()], "the probe is gone"


def test_sqlite_urls_open_where_the_path_has_a_blank(tmp_path):
    import sqlalchemy

    home = Home(tmp_path / "my home")
    home.ensure_writable()
    with sqlalchemy.create_engine(home.studies_db).connect() as connection:
        connection.exec_driver_sql("create table t (x)")
    assert (home.root / "studies.db").stat().st_size > 0


@pytest.mark.parametrize("bad", ["a?b", "a#b", "a%20b"])
def test_a_path_that_no_url_holds_is_refused(tmp_path, bad):
    with pytest.raises(StudyError, match="holds none of"):
        Home(tmp_path / bad)


def test_a_file_in_the_way_is_one_line_with_a_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StudyError, match=r"cannot write to .*Not a directory.*EDGESEARCH_HOME") as caught:
            Home(root).ensure_writable()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only file system")]
)
def test_a_full_or_read_only_disk_is_one_line(tmp_path, monkeypatch, code, words):
    def refuse(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("search.home.os.fsync", refuse)
    with pytest.raises(StudyError, match=words) as caught:
        Home(tmp_path / "home").ensure_writable()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_full_for_real():
    full = Path("/dev/full")
    with (
        pytest.raises(StudyError, match="No space left"),
        writing(full),
        full.open("wb", buffering=0) as file,
    ):
        file.write(b"x")


def test_an_existing_folder_keeps_its_mode(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    make_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
