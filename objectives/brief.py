"""What a worker is told along with a candidate: other forms to offer its network in, and what to beat."""

from hardware_profiles.value import Value
from objectives.standing import Standing
from spaces.candidate import Compression


class Brief(Value):
    """What the study knows and wants, beside the candidate itself.

    `siblings` are the other compressions that the trained network is offered in, in the order in which they
    are tried. `standing` says what a trial has to show to join the front; without it nothing is stopped
    and every sibling is made. With `audit`, what would be stopped is finished all the same, to learn whether
    the rule was right. `within_s` are the seconds that are left to the study, and to a trial before it is
    given up: a fine-tuning that would go on after them is not begun.
    """

    siblings: tuple[Compression, ...] = ()
    standing: Standing | None = None
    stopping: bool = False
    audit: bool = False
    within_s: float | None = None
