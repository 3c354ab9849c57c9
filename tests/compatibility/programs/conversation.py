"""
The conversation of a suite in Python with whoever runs it; tests/compatibility/program.ts is the
other side. "case NAME" comes in, "passed" or "failed WORDS" goes out; in between the suite may ask
for a restart of the server, or for a statement to be running, and reads "done".
"""

import os
import sys
import traceback
from typing import Callable

HOST = os.environ["PLACE_HOST"]
PORT = int(os.environ["PLACE_PORT"])
USER = os.environ["PLACE_USER"]
PASSWORD = os.environ["PLACE_PASSWORD"]
DATABASE = os.environ["PLACE_DATABASE"]
CLIENTS_MAX = int(os.environ["PLACE_CLIENTS_MAX"])

LOGIN = dict(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE)

_cases: dict[str, Callable[[], None]] = {}


def case(name: str):
    """Registers a case under the name that the document gives it."""

    def register(run: Callable[[], None]) -> Callable[[], None]:
        assert name not in _cases, name
        _cases[name] = run
        return run

    return register


def equal(actual: object, expected: object) -> None:
    assert actual == expected, f"{actual!r} is not {expected!r}"


def restart_server() -> None:
    """Ends every server connection and returns when the database serves logins again."""
    _ask("restart")


def until_running(text: str) -> None:
    """Returns when a statement that holds `text` runs on the server."""
    _ask(f"running {text}")


def converse() -> None:
    """Runs the cases that it is told, until nobody tells it any more."""
    for line in iter(sys.stdin.readline, ""):
        _say(_outcome(line.rstrip("\n").removeprefix("case ")))


def _outcome(name: str) -> str:
    try:
        _cases[name]()
        return "passed"
    except BaseException:
        return "failed " + traceback.format_exc().replace("\n", "\t")


def _ask(question: str) -> None:
    _say(question)
    answer = sys.stdin.readline()
    assert answer == "done\n", answer


def _say(text: str) -> None:
    print(text, flush=True)
