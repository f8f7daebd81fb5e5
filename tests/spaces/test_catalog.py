"""Spaces by name, and a user's own by reference."""

import sys

import pytest

from spaces.catalog import DEFAULTS, SPACES, load_space
from spaces.errors import SpaceError

OWN = """
from spaces.candidate import Candidate
from spaces.mlp import Mlp

class Space(Mlp):
    name = "mine"

class Hollow:
    name = "hollow"

class Demanding:
    def __init__(self, size): ...
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A user's module beside the plan, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_own_spaces.py").write_text(OWN)
    (tmp_path / "my_broken_spaces.py").write_text("class Space:\n  1/0\n")
    yield "my_own_spaces"
    for name in ("my_own_spaces", "my_broken_spaces"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_shipped_spaces_are_there_under_their_own_name(name):
    assert load_space(name).name == name


@pytest.mark.parametrize("kind", sorted(DEFAULTS))
def test_the_default_of_a_kind_is_for_that_kind(kind):
    assert kind in load_space(DEFAULTS[kind], kind).kinds


@pytest.mark.parametrize(
    ("name", "kind", "rule"),
    [
        ("convent", None, "did you mean 'convnet'"),
        ("zzz", None, r"no space named 'zzz'; \(there are mlp, convnet, sequence"),
        ("convnet", "table", "is for image, the data is of kind table; use mlp"),
        ("sequence", "image", "use convnet, mlp"),
        ("no_such_module_at_all:Space", None, "No module named"),
        (":Space", None, "cannot be loaded"),
    ],
)
def test_what_cannot_be_is_refused_on_one_line(name, kind, rule):
    with pytest.raises(SpaceError, match=rule) as caught:
        load_space(name, kind)
    assert "\n" not in str(caught.value)


def test_a_users_own_space_is_loaded_from_the_working_folder(own_module):
    space = load_space(f"{own_module}:Space", "table")
    assert space.name == "mine"
    assert sys.path[-1] != "" and sys.path[0] != sys.path[-1]


@pytest.mark.parametrize(
    ("reference", "rule"),
    [
        ("my_own_spaces:Nothing", "has no attribute 'Nothing'"),
        ("my_own_spaces:Hollow", "lacks name, kinds, ranges or suggest"),
        ("my_own_spaces:Demanding", "missing 1 required positional argument"),
        ("my_broken_spaces:Space", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_space_is_refused_on_one_line(own_module, reference, rule):
    with pytest.raises(SpaceError, match=rule) as caught:
        load_space(reference)
    assert "\n" not in str(caught.value)


def test_a_users_file_does_not_shadow_a_package(own_module, tmp_path):
    (tmp_path / "spaces.py").write_text("raise RuntimeError('shadowed')\n")
    load_space(f"{own_module}:Space")
    assert str(tmp_path) == sys.path[-1]
