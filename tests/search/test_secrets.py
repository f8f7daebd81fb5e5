import logging
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import StudyError
from search.secrets import RedactingFilter, expand, redact, secrets_of

# Marked so that it cannot stand in the rest of the text by chance.
UNRESERVED = string.ascii_letters + string.digits + "-._~!$'()*+,;=:@/?#[]%^|{}&"
passwords = st.text(UNRESERVED, min_size=1, max_size=30).map(lambda t: f"pW9x{t}")
any_passwords = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).map(lambda t: f"pW9x{t}")
schemes = st.sampled_from(
    ["postgresql", "postgresql+psycopg2", "mysql+pymysql", "redis", "http", "https", "ssh"]
)
users = st.sampled_from(["user", "me@corp", "", "a.b-c", "u%40x"])
prose = st.sampled_from(["", "cannot reach ", "url='", "(", "[1]: "])


@given(schemes, users, passwords, prose)
def test_a_password_in_a_url_never_shows(scheme, user, password, before):
    shown = redact(f"{before}{scheme}://{user}:{password}@db.example:5432/studies?x=1 and so on")
    assert "pW9x" not in shown
    assert shown == f"{before}{scheme}://{user}:***@db.example:5432/studies?x=1 and so on"


@given(schemes, any_passwords, st.sampled_from([quote, quote_plus, lambda p: quote(p, safe="")]))
def test_an_encoded_password_never_shows(scheme, password, encode):
    encoded = encode(password).replace("/", "%2F")
    shown = redact(f"{scheme}://user:{encoded}@host/db")
    assert shown == f"{scheme}://user:***@host/db"


names = st.sampled_from(
    ["password", "PASSWORD", "passwd", "pwd", "token", "access_token", "api_key", "sslpassword"]
)


@given(names, passwords.map(lambda p: p.replace("&", "")), st.sampled_from(["&next=1", "", " tail"]))
def test_a_secret_parameter_never_shows(name, password, after):
    shown = redact(f"http://host:5000/api?user=me&{name}={password}{after}")
    assert "pW9x" not in shown
    assert shown == f"http://host:5000/api?user=me&{name}=***{after}"


@given(any_passwords, schemes)
def test_a_known_secret_is_hidden_outside_urls_in_every_spelling(password, scheme):
    address = f"{scheme}://user:{quote(password, safe='')}@host/db"
    known = secrets_of(address)
    for spelling in (
        password,
        quote(password),
        quote(password, safe=""),
        quote_plus(password),
        repr(password),
    ):
        assert "pW9x" not in redact(f"FATAL: login with {spelling} failed", known)


@given(st.text())
def test_redacting_again_changes_nothing(text):
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "harmless",
    [
        "http://127.0.0.1:5000/#/experiments/1",
        "ssh://pi@10.0.0.7",
        "postgresql://user@host/db",
        "sqlite:////home/me/a b/studies.db",
        "see https://example.org/a?x=1&y=me@example.org",
        "12 tokens, latency = 3 ms, mail me@example.org: now",
        "s3://bucket/key",
    ],
)
def test_text_without_a_secret_stays_as_it_is(harmless):
    assert redact(harmless) == harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ghp_abc@host/x", "https://***@host/x"),
        ("host=db user=me password=hunter2 dbname=x", "host=db user=me password=*** dbname=x"),
        ('host=db password="two words" dbname=x', "host=db password=*** dbname=x"),
        ("a://u:one@h and b://v:two@i", "a://u:***@h and b://v:***@i"),
        ("('postgresql://u:pw@h/db',)", "('postgresql://u:***@h/db',)"),
    ],
)
def test_examples(text, shown):
    assert redact(text) == shown


def test_secrets_of_an_address():
    assert "hunter22" in secrets_of("postgresql://me:hunter22@host/db")
    assert {"p@ss/word", "p%40ss%2Fword"} <= secrets_of("postgresql://me:p%40ss%2Fword@host/db")
    assert "tok123" in secrets_of("https://host/x?api_key=tok123")
    assert "s3cr3t" in secrets_of("https://s3cr3t@host")
    assert secrets_of("postgresql://me:[oops@host?token=abcd") >= {"[oops", "abcd"}
    assert not secrets_of("sqlite:////home/me/studies.db")
    assert not secrets_of("ssh://pi:abc@10.0.0.7"), "too short to be replaced everywhere"


ADDRESS = "postgresql://me:hunter22%21@db.example/studies"


def logged(emit, *addresses):
    """Return what a plain handler writes."""
    lines = []

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    logger, handler = logging.Logger("test"), Lines()  # noqa: LOG001 - one that no other test sees
    handler.addFilter(RedactingFilter(addresses))
    logger.addHandler(handler)
    emit(logger)
    return "\n".join(lines)


def test_the_filter_redacts_message_and_arguments():
    text = logged(lambda log: log.warning("no answer from %s after %d s", ADDRESS, 3))
    assert text == "no answer from postgresql://me:***@db.example/studies after 3 s"


def test_the_filter_redacts_tracebacks_with_their_causes():
    def emit(log):
        try:
            try:
                raise ValueError(f"cannot open {ADDRESS}")  # noqa: TRY301 - the cause that is looked for
            except ValueError as error:
                raise RuntimeError("login as 'me' with 'hunter22!' refused") from error
        except RuntimeError:
            log.exception("failed", stack_info=True)

    text = logged(emit, ADDRESS)
    assert "hunter22" not in text.replace("with 'hunter22!' refused\")", "")
    assert (
        "Traceback" in text
        and "direct cause" in text
        and "RuntimeError: login as 'me' with '***' refused" in text
    )


def test_a_second_handler_does_not_see_the_exception_either():
    record = logging.LogRecord(
        "x", logging.ERROR, "f", 1, "bad", None, (ValueError, ValueError(ADDRESS), None)
    )
    assert RedactingFilter().filter(record)
    assert "hunter22" not in str(vars(record))


def test_references_are_expanded_once():
    environment = {"DB": "postgresql://u:${X}@h", "_x1": "y"}
    assert expand("${DB}/${_x1}", environment) == "postgresql://u:${X}@h/y"
    assert expand("no $reference {here}", environment) == "no $reference {here}"


def test_the_process_environment_is_used_by_default(monkeypatch):
    monkeypatch.setenv("EDGESEARCH_TEST_PW", "pw")
    assert expand("x://u:${EDGESEARCH_TEST_PW}@h") == "x://u:pw@h"


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(StudyError, match=r"'\$\{NOPE\}' refers to a variable that is not set; export NOPE="):
        expand("x://${NOPE}@h", {})


@pytest.mark.parametrize("bad", ["${}", "${A B}", "${1}", "${A-b}"])
def test_what_names_no_variable_is_refused(bad):
    with pytest.raises(StudyError, match="refers to an environment variable"):
        expand(bad, {})


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text(), min_size=1))
def test_expansion_puts_values_in_order(variables):
    text = "|".join(f"${{{name}}}" for name in variables)
    assert expand(text, variables) == "|".join(variables.values())
