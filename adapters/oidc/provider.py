"""A provider of OpenID Connect: where a browser is sent to sign in and out, and who came back. Keeps nothing of it between two
sign-ins, so that its keys and addresses may change at any time. Shows no secret, no code and no token.

Authorization code flow with PKCE: https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, https://www.rfc-editor.org/rfc/rfc7636
Signing out there: https://openid.net/specs/openid-connect-rpinitiated-1_0.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from authlib.common.urls import add_params_to_uri
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.discovery import get_well_known_url
from requests import Session
from requests.adapters import BaseAdapter
from requests.exceptions import RequestException

from offhook.adapters.addresses import LOOPBACK
from offhook.adapters.oidc.begun import Begun, Failed, begin_anew
from offhook.adapters.oidc.id_token import Expected, Forged, claims_of, keys_in
from offhook.adapters.oidc.requests import InTime, Unreachable, Way
from offhook.adapters.proxies import Proxy
from offhook.adapters.way_out.deadline import BoundedAdapter
from offhook.adapters.way_out.request import trusting
from offhook.adapters.way_out.resolver import Resolver
from offhook.pipeline.single_sign_on import Account
from offhook.pipeline.users import Identity

_SLOW = frozenset(
    {"deadline", "dns_timeout", "connect_timeout", "tls_timeout", "proxy_connect_timeout", "proxy_timeout"}
)
_NO_ANSWER = ("too_large", "redirect")
_AT_ONCE = 4
_MOST_GROUPS, _LONGEST_GROUP = 1000, 500


@dataclass(frozen=True, slots=True)
class Client:
    """What the provider knows of us, and what is asked of it. `role_claim` is "" where roles do not go by a claim."""

    issuer: str
    id: str
    secret: str = field(repr=False)
    scopes: str
    role_claim: str
    verified_claim: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """For all requests of one step together, and for one answer. `leeway_seconds` is how far clocks may differ."""

    seconds: float
    answer_bytes: int
    leeway_seconds: float


@dataclass(frozen=True, slots=True)
class _Metadata:
    """https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata; `names_itself` is RFC 9207's. `end_session` is as
    it was said: what is wrong with it keeps nobody from coming in.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    end_session: Any
    auth_method: str
    names_itself: bool


class Provider:
    """One provider, for all threads. Raises OSError for a `ca_file` without certificates."""

    def __init__(
        self,
        client: Client,
        bounds: Bounds,
        clock: Callable[[], datetime],
        *,
        proxy: Proxy | None = None,
        ca_file: str | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._client, self._bounds, self._clock = client, bounds, clock
        adapter = BoundedAdapter(_AT_ONCE, trusting(ca_file))
        self._way = Way(adapter, resolver or Resolver(), proxy, bounds.answer_bytes)

    def begin(self, redirect_uri: str) -> tuple[str, Begun]:
        """Where the browser goes to sign in, and what it must come back with. Raises Failed."""
        known = self._metadata(self._session())
        begun = begin_anew(known.issuer, names_itself=known.names_itself)
        oauth = self._oauth(known, redirect_uri)
        url, _ = oauth.create_authorization_url(
            known.authorization_endpoint, state=begun.state, nonce=begun.nonce, code_verifier=begun.verifier
        )
        return str(url), begun

    def address_to_leave(self, came_by: str, back_to: str) -> str:
        """Where the browser goes to sign out there, of somebody who came by this issuer, and from there to `back_to`; "" where the
        provider has no such place, or is another one. Raises Failed.

        It is not said who signs out: the ID token, which could say it, is not kept, and in an address many would read it.
        """
        known = self._metadata(self._session())
        if not known.end_session or known.issuer != came_by:
            return ""
        try:
            place = _endpoint("end_session_endpoint", known.end_session, known.issuer)
        except ValueError as error:
            raise Failed("wrong_answer", f"the provider's configuration: {error}") from None
        asked = [("client_id", self._client.id), ("post_logout_redirect_uri", back_to)]
        return str(add_params_to_uri(place, asked))

    def account(self, code: str, begun: Begun, redirect_uri: str) -> Account:
        """Who came back with this code. Raises Failed."""
        session = self._session()
        known = self._metadata(session)
        token = self._token(known, session, code, begun, redirect_uri)
        access = token.get("access_token")
        keys = keys_in(_json(session, known.jwks_uri))
        leeway = self._bounds.leeway_seconds
        bearer = access if isinstance(access, str) else None
        expected = Expected(known.issuer, self._client.id, begun.nonce, bearer, leeway)
        try:
            claims = claims_of(token.get("id_token"), keys, expected, self._clock().timestamp())
        except Forged as error:
            raise Failed("forged", str(error)) from None
        return self._account(known.issuer, self._completed(claims, known, session, access))

    def close(self) -> None:
        self._way.adapter.close()

    def _session(self) -> Session:
        """For the requests of one step, which share one deadline."""
        session = Session()
        _send_by(session, InTime(self._way, self._bounds.seconds))
        return session

    def _oauth(self, known: _Metadata, redirect_uri: str) -> Any:
        return OAuth2Session(
            self._client.id,
            self._client.secret,
            scope=self._client.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method=known.auth_method,
        )

    def _metadata(self, session: Session) -> _Metadata:
        document = _json(session, get_well_known_url(self._client.issuer, external=True))
        try:
            return _metadata_of(document, self._client.issuer)
        except ValueError as error:
            raise Failed("wrong_answer", f"the provider's configuration: {error}") from None

    def _token(
        self, known: _Metadata, session: Session, code: str, begun: Begun, redirect_uri: str
    ) -> Mapping[str, Any]:
        oauth = self._oauth(known, redirect_uri)
        _send_by(oauth, session.get_adapter("https://"))
        try:
            token = oauth.fetch_token(known.token_endpoint, code=code, code_verifier=begun.verifier)
        except OAuthError as error:
            is_ours = error.error in ("invalid_client", "unauthorized_client")
            raise Failed("client_refused" if is_ours else "code_refused", str(error.error)[:100]) from None
        except (Unreachable, RequestException) as error:
            raise _failed(error) from None
        except (ValueError, TypeError, RecursionError):
            raise Failed("wrong_answer", "the provider's token answer is not what it should be") from None
        return cast("Mapping[str, Any]", token)

    def _completed(
        self, claims: Mapping[str, Any], known: _Metadata, session: Session, access: Any
    ) -> Mapping[str, Any]:
        """With what the provider says on request, where the ID token lacks something: some keep it short.

        https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse: it counts for the same subject alone.
        """
        wanted = {"email", self._client.verified_claim, self._client.role_claim} - {""}
        if wanted <= claims.keys() or not known.userinfo_endpoint or not isinstance(access, str):
            return claims
        said = _json(session, known.userinfo_endpoint, {"Authorization": f"Bearer {access}"})
        if not isinstance(said, dict) or said.get("sub") != claims["sub"]:
            raise Failed("forged", "userinfo is of another subject")
        return {**said, **claims}

    def _account(self, issuer: str, claims: Mapping[str, Any]) -> Account:
        email = claims.get("email")
        # Cognito says "true", Entra's xms_edov is 1: both mean it.
        is_verified = claims.get(self._client.verified_claim) in (True, "true", "1")
        groups = _groups(claims.get(self._client.role_claim)) if self._client.role_claim else ()
        return Account(Identity(issuer, claims["sub"]), email if isinstance(email, str) else "", is_verified, groups)


def _groups(said: Any) -> tuple[str, ...]:
    listed = said if isinstance(said, list) else [said]
    return tuple(one for one in listed[:_MOST_GROUPS] if isinstance(one, str) and len(one) <= _LONGEST_GROUP)


def _send_by(session: Session, way: BaseAdapter) -> None:
    """Sends by this way alone: nothing of the environment (proxies, netrc) counts, and no cookie stays."""
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, way)


def _json(session: Session, url: str, headers: Mapping[str, str] | None = None) -> Any:
    """Raises Failed."""
    try:
        answer = session.get(url, headers={"Accept": "application/json", **(headers or {})})
        if answer.status_code != 200:
            raise Failed("wrong_answer", f"{_place(url)} answered {answer.status_code}")
        return answer.json()
    except (Unreachable, RequestException) as error:
        if isinstance(error, ValueError):  # requests' own JSONDecodeError
            raise Failed("wrong_answer", f"{_place(url)} answered what is no JSON") from None
        raise _failed(error) from None
    except (ValueError, RecursionError):
        raise Failed("wrong_answer", f"{_place(url)} answered what is no JSON") from None


def _failed(error: Exception) -> Failed:
    if not isinstance(error, Unreachable):
        return Failed("unreachable", type(error).__name__)
    detail = f"{error.word} {error.detail}".strip()
    return Failed(
        "slow" if error.word in _SLOW else "wrong_answer" if error.word in _NO_ANSWER else "unreachable", detail
    )


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _metadata_of(said: Any, issuer: str) -> _Metadata:
    """Raises ValueError. The issuer is who was asked, to the letter but for a slash at its end."""
    named = said.get("issuer") if isinstance(said, dict) else None
    if not isinstance(named, str) or named.rstrip("/") != issuer.rstrip("/"):
        raise ValueError("it is that of another issuer; OFFHOOK_OIDC_ISSUER must be the one that it names")
    needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    authorization, token, jwks = (_endpoint(name, said.get(name), issuer) for name in needed)
    userinfo = said.get("userinfo_endpoint")
    return _Metadata(
        issuer=named,
        authorization_endpoint=authorization,
        token_endpoint=token,
        jwks_uri=jwks,
        userinfo_endpoint=_endpoint("userinfo_endpoint", userinfo, issuer) if userinfo else "",
        end_session=said.get("end_session_endpoint"),
        auth_method=_auth_method(said.get("token_endpoint_auth_methods_supported")),
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(name: str, url: Any, issuer: str) -> str:
    """Raises ValueError for what is no address by TLS; on loopback there is none."""
    loopback = urlsplit(issuer).hostname in LOOPBACK
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not parts.hostname:
        raise ValueError(f"{name} is no address")
    if parts.scheme != "https" and not (loopback and parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError(f"{name} is not https")
    return str(url)


def _auth_method(supported: Any) -> str:
    """How the client says who it is: as the specification has it by default, else in the form."""
    by_form = (
        isinstance(supported, list) and "client_secret_basic" not in supported and "client_secret_post" in supported
    )
    return "client_secret_post" if by_form else "client_secret_basic"
