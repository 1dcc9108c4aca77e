"""`flask tokens ...`: who may use the API. A token is shown once and never again."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import line
from offhook.adapters.commands.context import LedgerGroup, fail, offhook
from offhook.adapters.commands.shown import Format, show_done, show_list, shows
from offhook.pipeline.tokens import Scope, Token, new_token

_WHO = "flask tokens"
_LONGEST_NAME = 100
_COLUMNS = ("name", "scopes", "created_at", "last_used_at", "revoked_at", "id")


@click.group(cls=LedgerGroup)
def tokens() -> None:
    """Who may use the API (docs/api.md). There is no API until there is a token.

    \b
    flask tokens create --name crm --scope customers:write
    flask tokens list
    flask tokens revoke crm
    """


@tokens.command()
@click.option("--name", required=True, help="What uses it; the mapping's history names it.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([one.value for one in Scope]),
    help="What it may do; may be given twice.",
)
@shows
@with_appcontext
def create(name: str, scopes: tuple[str, ...], shown: Format) -> None:
    """Make a token and show it, once: what is kept of it is a hash.

    \b
    flask tokens create --name crm --scope customers:write
    flask tokens create --name reports --scope calls:read --scope tallies:read --json
    """
    plain, service = name.strip(), offhook()
    if not plain or len(plain) > _LONGEST_NAME or not plain.isprintable():
        fail(f"A name has 1 to {_LONGEST_NAME} characters that can be printed.", 2)
    token, text = new_token(plain, scopes, service.ledger.clock())
    if not service.ledger.tokens.add(token, line(service, _WHO, "token made", plain)):
        fail(f'There is a token "{plain}" already: take another name, or revoke that one first.')
    made = [("name", token.name), ("scopes", token.scopes), ("id", token.id), ("token", text)]
    show_done(text, made, shown)
    click.echo("This is the only time that it is shown.", err=True)


@tokens.command("list")
@shows
@with_appcontext
def list_(shown: Format) -> None:
    """List the tokens, the first made first, with their last use. Their secrets are not known.

    \b
    flask tokens list
    flask tokens list --json
    """
    show_list([_row(one, shown) for one in offhook().ledger.tokens.every()], shown, _COLUMNS)


def _row(token: Token, shown: Format) -> dict[str, object]:
    scopes = list(token.scopes) if shown is Format.JSON else " ".join(token.scopes)
    return {name: scopes if name == "scopes" else getattr(token, name) for name in _COLUMNS}


@tokens.command()
@click.argument("name")
@shows
@with_appcontext
def revoke(name: str, shown: Format) -> None:
    """Revoke a token. Web processes know it within OFFHOOK_API_TOKENS_SECONDS.

    \b
    flask tokens revoke crm
    flask tokens revoke crm --json
    """
    service, plain = offhook(), name.strip()
    now, seconds = service.ledger.clock(), service.settings.api_tokens_seconds
    if not service.ledger.tokens.revoke(plain, now, line(service, _WHO, "token revoked", plain)):
        fail(f'There is no token "{name}" that could be revoked; `flask tokens list` lists them.')
    revoked = [("name", plain), ("revoked_at", now), ("everywhere_within_seconds", seconds)]
    show_done(f'"{name}" is revoked, everywhere within {seconds:g} s.', revoked, shown)
