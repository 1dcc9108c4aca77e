"""Passwords: how they are kept (Argon2id) and which ones are taken. By OWASP's ASVS 5.0, V6.2, level 2: by length and by what is
commonly used, without rules of composition.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

# OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane. Four page threads at once need 76 MiB.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Nobody's: who is not known is checked against it, so that the answer takes as long.
_NOBODYS = _HASHER.hash("the password of nobody at all")
_FEWEST_GUESSES = 10**8  # zxcvbn: fewer withstand no online attack of some months
_LOOKED_AT = 72  # characters; zxcvbn takes more than linear time


def hash_of(password: str) -> str:
    """What is kept of a password."""
    return _HASHER.hash(password)


def is_right(password_hash: str | None, password: str) -> bool:
    """Whether it is the password. Takes as long where there is none, and is False."""
    try:
        return _HASHER.verify(password_hash or _NOBODYS, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def why_not(password: str, email: str, *, least: int, most: int) -> str:
    """Why this password is not taken, in one sentence; "" where it is."""
    if len(password) < least:
        return f"The password needs at least {least} characters; a sentence is easy to remember."
    if len(password) > most:
        return f"The password has more than {most} characters."
    about_them = [email, *email.split("@"), "offhook", "rockerbox", "twilio"]
    if zxcvbn(password[:_LOOKED_AT], user_inputs=about_them)["guesses"] < _FEWEST_GUESSES:
        return "That password is easily guessed: it is a common one, a pattern, or made of your email. Take another."
    return ""
