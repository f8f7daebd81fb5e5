"""Errors of this room: SpaceError says that a range, a choice or a space's name breaks a rule."""


class SpaceError(ValueError):
    """A space, a range or a narrowing that cannot be; the message names the way out."""
