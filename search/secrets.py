"""Passwords in addresses: where they come from (`${VAR}`), and that they are never shown.

An address of a storage, a tracking server or a cluster may hold a password. It is used as it is,
and whatever is printed, logged or exported passes through `redact` first.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

from search.errors import StudyError

HIDDEN = "***"
_NAMES = r"[\w.-]*(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|credentials?)"
# Raw quotes, angle brackets and blanks end a URL in running text. A password may hold any other
# character, '/', '?', '#' and '@' too: libraries accept them unescaped, so all up to the last '@' goes.
_USER_AND_PASSWORD = re.compile(r"(?P<start>[A-Za-z][A-Za-z0-9+.-]*://[^\s\"<>`:/?#]*):[^\s\"<>`]*@")
_USER_ONLY = re.compile(r"(?P<start>\bhttps?://)[^\s\"<>`:/?#@]+@(?![^\s\"<>`/?#]*:\*{3}@)", re.IGNORECASE)
_PARAMETER = re.compile(rf"(?P<start>\b{_NAMES}\s*=\s*)(?:\"[^\"]*\"|[^\s&\"<>`]+)", re.IGNORECASE)
_NAME = re.compile(_NAMES, re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHORTEST_KNOWN = 4


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return the text with `***` for the passwords in it.

    Found without being told: what stands between `user:` and `@` of any URL, the bare token of
    `https://token@host`, and the values of parameters such as `password=`, `access_token=` or
    `api_key=`. `known` secrets (see `secrets_of`) are replaced wherever they stand.
    """
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    # Parameters first: an '@' in a parameter's value would make a user and password of what is before.
    text = _PARAMETER.sub(rf"\g<start>{HIDDEN}", text)
    text = _USER_AND_PASSWORD.sub(rf"\g<start>:{HIDDEN}@", text)
    return _USER_ONLY.sub(rf"\g<start>{HIDDEN}@", text)


def secrets_of(address: str) -> frozenset[str]:
    """Return the secrets that an address holds, in each spelling an error message may use.

    Secrets of less than 4 characters are left out: replacing them anywhere would shred other text.
    """
    rest = address.partition("://")[2]
    user, colon, password = rest.rpartition("@")[0].partition(":")
    found = [password if colon else ""]
    if not colon and address.lower().startswith("http"):
        found.append(user)
    found += [value for name, value in _parameters(address) if _NAME.fullmatch(name)]
    plain = {spelling for text in found for spelling in (text, unquote(text), unquote_plus(text))}
    return frozenset(s for text in plain for s in _spellings(text) if len(s) >= SHORTEST_KNOWN)


def _spellings(text: str) -> tuple[str, ...]:
    return (text, quote(text), quote(text, safe=""), quote_plus(text), repr(text)[1:-1])


def _parameters(address: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(address).query)
    except ValueError:
        # Not a URL that Python can split (a bracket in the password, say): take the text after '?'.
        return parse_qsl(address.partition("?")[2])


class RedactingFilter(logging.Filter):
    """Redacts log records: message, arguments, traceback and stack. Put it on handlers.

    On a logger it would miss what its children pass up. `addresses` are those in use; the secrets in
    them are hidden in any form, even where a library prints them outside a URL.
    """

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        super().__init__()
        self._known = frozenset().union(*map(secrets_of, addresses))

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place and let it pass."""
        record.msg, record.args = redact(record.getMessage(), self._known), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            # The exception itself goes too, or a handler that formats it anew would show it.
            record.exc_text, record.exc_info = redact(record.exc_text, self._known), None
        if record.stack_info:
            record.stack_info = redact(record.stack_info, self._known)
        return True


def expand(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Replace each `${VAR}` by the environment variable of that name, once (values are not expanded).

    Raises StudyError for a variable that is not set or no name of one.
    """
    variables = os.environ if environment is None else environment

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if not _VARIABLE.fullmatch(name):
            raise StudyError(
                f"${{NAME}} refers to an environment variable, got '{match[0]}'; write ${{DB_PW}}"
            )
        if name not in variables:
            raise StudyError(f"'{match[0]}' refers to a variable that is not set; export {name}=... first")
        return variables[name]

    return _REFERENCE.sub(value, text)
