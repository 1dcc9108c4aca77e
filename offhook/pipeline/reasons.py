"""Every reason word that Offhook writes down: its sentence for a person, and what can be done. Decides nothing.

A word is the same in log, ledger, command and page. Those of the rules' conditions stand with the conditions, and are here
as well. A name that ends in `*` stands for all words that begin so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from offhook.pipeline.delivery import (
    KEY_LACKS,
    LATER_STATUSES,
    MAYBE_SENT_STATUSES,
    NOT_TAKEN_STATUSES,
    REFUSED_STATUSES,
    Result,
)
from offhook.pipeline.rules.conditions import EVERY

_WHETHER = (
    "Rockerbox's Webhooks page says whether it has arrived; if it has not, `flask conversions retry CALLSID --yes` sends it "
    "again."
)
_AGAIN = "It is sent again by itself until OFFHOOK_RETRY_HORIZON_SECONDS are over."
_MAYBE = f"It is sent again by itself as far as OFFHOOK_RESEND_AMBIGUOUS allows. Where it is held, {_WHETHER}"
# What an attempt came to -> what becomes of its conversion, whatever the reason word is.
AFTERWARDS: Mapping[str, str] = {
    Result.RETRY: _AGAIN,
    Result.BLOCKED: _AGAIN,
    Result.REFUSED: "Its answer says why: correct the rules or the customer list, then `flask conversions retry CALLSID --rebuild`.",
    Result.MAYBE_SENT: _MAYBE,
    Result.LEASE_EXPIRED: _MAYBE,
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a reason: its sentences, of which one is said, with {names} for what differs from call to call
    ({word} is the word itself), and what to do about it, empty where nothing is wrong.

    `usually` is the result of an attempt that has this reason, but for settings and circumstances that make it another.
    `short` are a few words for it where its own spelling says too little, or says it in the ledger's words: {rest} is what
    stands for the `*` of its name, {number} the digits of the word. On a page, `to_do` is what can be done and `of_many` the
    same of all calls of the reason together, where that is more than what can be done about the verdict; `not_yet` is what
    a call is called that is not decided for this reason.
    """

    sentences: tuple[str, ...]
    advice: str = ""
    usually: Result | None = None
    short: str = ""
    to_do: str = ""
    of_many: str = ""
    not_yet: str = ""

    def remedy(self, result: str = "") -> str:
        """What can be done, and what happens by itself: by the attempt's `result`, else by the usual one."""
        return " ".join(filter(None, [self.advice, AFTERWARDS.get(result or self.usually or "", "")]))


_NETWORK = "Check ROCKERBOX_URL, and this machine's network and firewall."
_PROXY = "Check whether the proxy of OFFHOOK_EGRESS_PROXY runs and can be reached."
_SHUT = (
    "Rockerbox, or something in front of it, takes nothing from us: check ROCKERBOX_URL and ROCKERBOX_ADVERTISER_ID, and "
    "ask whether this address is blocked."
)
_NO_END = (
    "Set the status callback on the number itself (Twilio console, Phone Numbers, the number, Call status changes); for a "
    "call by the API its StatusCallback, with the event completed. One on <Number> or <Dial> reports child legs alone."
)
_CALL_STATUS_CHANGES = (
    "Set the status callback on the number itself (Twilio console, Phone Numbers, the number, Call status changes)"
)
_NUMBER_ITSELF = "Set the status callback on the number itself, in Twilio's console."

OF_DECISIONS: Mapping[str, Known] = {
    "counts": Known(
        ("All is as the rules {version} ask.", "All is as the rule {name} of the rules {version} asks."),
        short="counts",
    ),
    "rule_says": Known(
        ("The rule {name} says that such calls do not count.",),
        "Change this rule (`flask rules show`) if such calls shall count, then `flask rules apply`.",
        short="a rule says so",
        of_many="Change this rule if such calls shall count.",
    ),
    "called_us": Known(("The customer is {number}, who called.",)),
    "we_called": Known(("The customer is {number}, whom we called.",)),
    "reached_by_agent": Known(
        ("The customer is {number}, to whom one of our own people was put through (their end of the call is ours).",)
    ),
    "forwarded_by *": Known(
        ("Call {call_sid} was forwarded to this number of ours, and counts for both.",),
        "Nothing is wrong: a call that one tracked number forwards to another counts once.",
        short="forwarded by another call of yours",
        to_do="Nothing has to be done: the first call counts for both.",
        of_many="Nothing: the first call counts for both.",
    ),
    "repeat_of *": Known(
        ("The same caller called so shortly before, in call {call_sid}, which counts for both.",),
        "Shorten `repeat_within` of the rules if such calls shall count by themselves.",
        short="called again too soon",
        to_do="Nothing has to be done: the earlier call counts for both.",
        of_many="Nothing: the earlier call counts for both.",
    ),
    "called_back *": Known(
        ("It calls back the missed call {call_sid}: the pair counts once, with the missed call's number.",),
        short="calls back a missed call",
        to_do="Nothing has to be done: the pair counts once.",
        of_many="Nothing: the pair counts once.",
    ),
    **{
        each.reason: Known((each.sentence,), each.remedy, short=each.short, to_do=each.to_do, of_many=each.of_many)
        for each in EVERY
    },
    "no_root_leg": Known(
        ("Only callbacks of its child legs have arrived, none of the call itself.",),
        _NO_END,
        short="only a leg was reported",
        to_do=f"{_CALL_STATUS_CHANGES}: only a leg of this call was reported.",
        of_many=_NUMBER_ITSELF,
    ),
    "unfinished": Known(
        (
            "No final status of the call itself came within {hours} h (its last is {status}, legs: {legs}).",
            "No final status of the call itself came within {hours} h (no callback of its own has arrived, legs: {legs}).",
        ),
        _NO_END,
        short="its end was never reported",
        to_do=f"{_CALL_STATUS_CHANGES}, so that the ends of calls are reported.",
        of_many=_NUMBER_ITSELF,
        not_yet="End never reported",
    ),
    "caller_not_in_mapping": Known(
        (
            "The caller is not in your customer list: no customer has the number {number}.",
            "The caller is not in your customer list: no customer has the number {number}, which cannot be read as a phone "
            "number of any country.",
        ),
        "Add the customer (`flask customers import FILE`); the call is then sent with its own time.",
        short="not in your customer list",
        of_many="They wait: add the customers, and they are sent with their own time.",
    ),
    "several_customers": Known(
        (
            "{people} customers have the number {phone}, so nobody is credited, and the call waits until the customer list "
            "gives the number to one of them.",
        ),
        "Give the number to one of the customers who have it (`flask customers show NUMBER` names them, `flask customers "
        "import FILE` takes a list in which one has it); the call is then sent with its own time.",
        short="several customers have the number",
        to_do="Give the number to one of the customers who have it; the call is then sent with its own time.",
        of_many="They wait: import a list in which one customer has the number.",
    ),
    "unknown_too_long": Known(
        (
            "Nobody was known to have the number {number} in the {days} days after the call.",
            "In the {days} days after the call its number {number} was not given to one of the several customers who have it.",
        ),
        "`flask unknown` lists the numbers whose calls wait, so that they can be imported in time; OFFHOOK_UNKNOWN_DAYS is "
        "how long they wait.",
        short="the caller stayed unknown",
        to_do="Add the customer and decide this call again; it is then sent with its own time.",
        of_many="Add such customers sooner; these calls can be decided again.",
    ),
    "late": Known(
        (
            "Its caller became known on {known_on}, another day of Rockerbox's than that of the call: it is sent with the "
            "call's own time, {called_on}.",
        ),
    ),
    "not_ended": Known(
        (
            "No callback with a final status has arrived for the call itself.",
            "It has ended, and is a leg of another call, of which nothing has arrived.",
        ),
        short="not over yet",
        of_many="Nothing, while they go on.",
    ),
    "being_looked_up": Known(
        (
            "Its caller is being looked up.",
            "Its caller is being looked up; {source} is asked again at {at} ({reason}): {what}.",
        ),
        short="the caller is being looked up",
        of_many="Nothing: they go on as soon as the source answers.",
        not_yet="The caller is being looked up",
    ),
    "settling": Known(
        ("It has ended, and its legs may still arrive until {until}.",),
        short="it has just ended",
        of_many="Nothing: they are decided in a moment.",
        not_yet="Just ended",
    ),
    "decided_anew": Known(
        ("A person asked for it after it was refused: by the rules and the customer list of then.",),
    ),
}

_OF_WHAT_COUNTS = frozenset(
    ("counts", "called_us", "we_called", "reached_by_agent", "called_back *", "late", "decided_anew")
)
_STANDS_FOR_OTHERS = frozenset(
    ("rule_says", "being_looked_up")
)  # the rule's own word, and `settling`, are what is kept
WHY_NOT = tuple(word for word in OF_DECISIONS if word not in _OF_WHAT_COUNTS | _STANDS_FOR_OTHERS)
"""The words for which calls are not sent, beside those that a brand's own rules have."""

_ABOUT_TO_BE_SENT = "about to be sent"
_TAKEN = "taken by Rockerbox"

OF_CONVERSIONS: Mapping[str, Known] = {
    "new": Known(("It was decided, and no attempt has been made yet.",), short=_ABOUT_TO_BE_SENT),
    "rebuilt": Known(("A person asked for it to be decided anew, and other bytes are sent.",), short="decided again"),
    "asked_by_a_person": Known(("A person asked for it to be sent again.",), short="to be sent again"),
    "stopped": Known(("The worker stopped before it was sent, and gave it back.",), short=_ABOUT_TO_BE_SENT),
    "lease_too_short": Known(
        ("It had waited in the worker for too long to be sent in time, and was given back.",), short=_ABOUT_TO_BE_SENT
    ),
    "late_answer": Known(
        ("The answer that it was delivered came late, when its worker was thought to be gone.",), short=_TAKEN
    ),
    "horizon_passed": Known(
        ("It was tried again and again, until the time for that was over.",),
        "Its attempts show what kept it out. Once that is mended, `flask conversions retry CALLSID` sends it again. "
        "OFFHOOK_RETRY_HORIZON_SECONDS is how long it is tried.",
        short="tried for too long",
    ),
    "leases_expired": Known(
        ("Workers that sent it were killed or stalled, too often to try once more.",),
        f"Find out what stops the workers while they send it. {_WHETHER}",
        short="sending it was cut off too often",
    ),
    "day_turned": Known(
        (
            "It was not sent again by itself, as a second copy might arrive on another day of Rockerbox's and count, or as "
            "your settings allow none.",
        ),
        f"{_WHETHER} OFFHOOK_RESEND_AMBIGUOUS says what is sent again by itself.",
        short="it may have arrived",
    ),
    f"{KEY_LACKS}*": Known(
        (
            "It lacks a field of the account's deduplication key ({word}), and Rockerbox counts nothing without it: it was "
            "not sent.",
        ),
        "Give the customer what is missing (`flask customers import FILE`), or the rules, then `flask conversions retry "
        "CALLSID --rebuild`. Where the account has another key, correct ROCKERBOX_DEDUPE_KEY and leave `--rebuild` out.",
        short="it lacks {rest}",
    ),
}

# By the default of OFFHOOK_MAYBE_SENT_STATUSES; the attempt's result is right whatever that is.
_BY_STATUS: tuple[tuple[frozenset[int], str, Result], ...] = (
    (REFUSED_STATUSES, "Rockerbox refuses what is sent ({word}).", Result.REFUSED),
    (LATER_STATUSES, "Rockerbox asks to come later ({word}).", Result.RETRY),
    (NOT_TAKEN_STATUSES, "Rockerbox failed, and did not take it ({word}).", Result.RETRY),
    (MAYBE_SENT_STATUSES, "Something before Rockerbox gave up waiting for its answer ({word}).", Result.MAYBE_SENT),
)
_ANSWERED = "Rockerbox answered {number}"
_NO_WAY = "no way to Rockerbox"
_NO_SAFE_WAY = "no safe way to Rockerbox"


def _attempt(sentence: str, usually: Result, advice: str = "", short: str = "") -> Known:
    return Known((sentence,), advice, usually, short)


OF_ATTEMPTS: Mapping[str, Known] = {
    "delivered": Known(("Rockerbox took it.",), short=_TAKEN),
    **{
        f"http_{status}": _attempt(sentence, usually, short=_ANSWERED)
        for statuses, sentence, usually in _BY_STATUS
        for status in sorted(statuses)
    },
    "http_4*": _attempt("It was not let in ({word}), whatever its bytes are.", Result.BLOCKED, _SHUT, _ANSWERED),
    "http_5*": _attempt("An answer that nobody knows ({word}).", Result.MAYBE_SENT, short=_ANSWERED),
    "redirect": _attempt(
        "Its address leads elsewhere, and customers' data are never sent after it.", Result.BLOCKED, _SHUT
    ),
    "bad_answer": _attempt("What came back is no answer that can be read.", Result.MAYBE_SENT),
    "deadline": _attempt("No answer came in time.", Result.MAYBE_SENT, short="no answer in time"),
    "no_answer": _attempt("The connection was closed without an answer.", Result.MAYBE_SENT),
    "reset": _attempt(
        "The connection broke before an answer came.",
        Result.MAYBE_SENT,
        short="cut off before an answer came",
    ),
    "connection_lost": _attempt(
        "The connection broke before anything was sent.",
        Result.RETRY,
        short="cut off before it was sent",
    ),
    "error": _attempt("It could not be sent; the log has the kind of the error.", Result.MAYBE_SENT),
    "unexpected_*": _attempt(
        "A fault of Offhook's own while it was sent ({word}); the log has its traceback.", Result.MAYBE_SENT
    ),
    "lease_expired": _attempt(
        "The worker that sent it was killed, or stalled for longer than a lease.",
        Result.LEASE_EXPIRED,
        short="sending it was cut off",
    ),
    "dns": _attempt("The host of ROCKERBOX_URL has no address.", Result.RETRY, _NETWORK, _NO_WAY),
    "dns_timeout": _attempt("The look-up of the host of ROCKERBOX_URL took too long.", Result.RETRY, _NETWORK, _NO_WAY),
    "connect_refused": _attempt("Nobody listens at the host of ROCKERBOX_URL.", Result.RETRY, _NETWORK, _NO_WAY),
    "connect_timeout": _attempt("The host of ROCKERBOX_URL does not answer.", Result.RETRY, _NETWORK, _NO_WAY),
    "connect_failed": _attempt("The host of ROCKERBOX_URL cannot be reached.", Result.RETRY, _NETWORK, _NO_WAY),
    "tls": _attempt(
        "The other side cannot prove that it is Rockerbox, or speaks no TLS that we do.",
        Result.RETRY,
        "No conversion gets through. Where a company's network opens TLS, name the file of its authority (PEM) in "
        "OFFHOOK_CA_FILE; else check ROCKERBOX_URL and this machine's clock.",
        _NO_SAFE_WAY,
    ),
    "tls_timeout": _attempt("The other side took too long to agree on TLS.", Result.RETRY, _NETWORK, _NO_SAFE_WAY),
    "proxy_4*": _attempt(
        "The proxy of OFFHOOK_EGRESS_PROXY lets nothing through ({word}).",
        Result.RETRY,
        "No conversion gets through. Check the address, user and password in OFFHOOK_EGRESS_PROXY, and whether the proxy "
        "lets this machine reach the host of ROCKERBOX_URL.",
    ),
    "proxy_*": _attempt("The way through the proxy of OFFHOOK_EGRESS_PROXY is shut ({word}).", Result.RETRY, _PROXY),
}

_OUR_KEYS = "Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (several accounts, or other keys: TWILIO_KEYRING)."
_UNUSUAL = (
    "Twilio signed it, though it is none of its usual ones: report it as a fault of Offhook, with the line of the log."
)
_CHANGED = "Look for what stands in front of Offhook (a proxy, a firewall), and have it pass the request on as it is."
_ODD_HTTP = "Nothing, where it is no client of yours: Twilio sends none such."

OF_REFUSALS: Mapping[str, Known] = {
    "missing_signature": Known(
        ("X-Twilio-Signature is missing.",),
        "Where it was Twilio that sent it, something in front of Offhook (a proxy, a firewall) takes it off: have it left on.",
    ),
    "no_keys": Known(("No key is set for the account.",), _OUR_KEYS),
    "body_hash": Known(("The body is not the one that was signed.",), _CHANGED),
    "too_many_fields": Known(
        ("They have more fields than OFFHOOK_MAX_CALLBACK_FIELDS.",),
        "Raise the setting where they are Twilio's.",
    ),
    "mixed_accounts": Known(
        ("They name more than one account.",),
        "Where it is a sink of Event Streams, have each account send its own events; else nothing, for Twilio sends none such.",
    ),
    "unknown_account": Known(
        ("They name the account {named}; we have keys of {ours}.", "They name an account; we have keys of {ours}."),
        "Usually a wrong TWILIO_ACCOUNT_SID, or a subaccount, which has a SID and a token of its own: set them (several "
        "accounts: TWILIO_KEYRING).",
    ),
    "auth_token_refused": Known(
        ("TWILIO_REFUSE_AUTH_TOKENS is set, and Twilio signs with an auth token.",),
        "Take the setting away, or have Twilio sign with a SharedKey.",
    ),
    "unknown_shared_key": Known(
        ("They are signed with a SharedKey that TWILIO_KEYRING does not have: a new key, or a rotated one.",),
        "Add the key to TWILIO_KEYRING.",
    ),
    "unsupported_algorithm": Known(
        ("They are signed by an algorithm that this version does not know.",),
        "Look for a newer version, or have Twilio sign with an auth token or a SharedKey of a known algorithm.",
    ),
    "signature": Known(
        ("No key of the account makes their signature.",),
        "Usually the auth token: it was rotated (the primary token of the Twilio console, of this very account; a subaccount "
        "has its own), or the address: PUBLIC_URL is not what Twilio was given (http for https, another host, the placeholder "
        "of .env.example), or a proxy changes path or form on the way.",
    ),
    "bad_target": Known(
        ("Signed, and its path or query holds characters that no database keeps.",),
        "Correct the address that Twilio was given.",
    ),
    "no_call_event": Known(
        ("Signed, and its JSON is no batch of events.",),
        "Give this address to status callbacks, and to a sink of Event Streams with call status events, alone.",
    ),
    "nested_too_deeply": Known(("Signed, and its event is nested too deeply to be read.",), _UNUSUAL),
    "missing_*": Known(
        ("Signed, and lacks a field that every call status callback has ({word}).",),
        "Usually the address was given to something that is no status callback of a call, such as a voice URL: correct it "
        "in the Twilio console.",
    ),
    "bad_*": Known(("Signed, and a field of it is too long or cannot be stored ({word}).",), _UNUSUAL),
    "too_large": Known(
        ("The body is larger than OFFHOOK_MAX_CALLBACK_BYTES.",), "Raise the setting where it is Twilio's."
    ),
    "body_too_large": Known(
        ("The body is larger than OFFHOOK_MAX_CALLBACK_BYTES.",), "Raise the setting where it is Twilio's."
    ),
    "large_of_nobody": Known(
        (
            "The body is larger than OFFHOOK_MAX_CALLBACK_BYTES, and comes from nobody who is signed in to the dashboard.",
        ),
        "Sign in, and send the file again; raise the setting where it is a program of yours.",
        to_do="Only somebody who is signed in may send as much: sign in, and send it again.",
    ),
    "sessions_unavailable": Known(
        ("A file came for the dashboard, and the database did not answer whether whoever sends it is signed in.",),
        "Send it again when the database answers.",
    ),
    "too_many_large": Known(
        ("More files for the dashboard arrived at once than OFFHOOK_UPLOADS_AT_ONCE says.",),
        "Send it again in a moment; raise the setting where there is memory for more.",
        to_do="Other files arrive just now: send it again in a moment.",
    ),
    **dict.fromkeys(
        ("header_too_large", "trailers_too_large", "request_line_too_long"),
        Known(("The first line or the header of the request is too long ({word}).",), _ODD_HTTP),
    ),
    **dict.fromkeys(
        ("not_http", "request_line", "bare_line_feed", "folded_header", "chunk_size", "chunk_end"),
        Known(("It is no HTTP, or not as HTTP/1.1 asks ({word}).",), _ODD_HTTP),
    ),
    **dict.fromkeys(
        ("content-length", "transfer-encoding", "expect"),
        Known(("A header is there twice, contradicts another or says what is not understood ({word}).",), _ODD_HTTP),
    ),
    "broken_off": Known(
        ("The body could not be read to its end ({word}).",),
        "Where it comes often, look at the network and the proxy in front of Offhook.",
    ),
    "not_served": Known(
        ("It is no request that can be served; `error` has the server's name for what is wrong ({word}).",), _ODD_HTTP
    ),
    "ended_early": Known(
        ("The connection was closed before the whole request had come.",),
        "Where it comes often, look at the network and the proxy in front of Offhook.",
    ),
}

OF_THE_DATABASE: Mapping[str, Known] = {
    "no_tables": Known(("The database has no tables of Offhook's, or older ones.",), "Run `flask db upgrade`."),
    "foreign_tables": Known(
        ("DATABASE_URL names a database of another program, or of a much newer version.",), "Correct DATABASE_URL."
    ),
    "missing": Known(
        ("The database file is not there, or cannot be opened.",),
        "Put it back, or run `flask db upgrade` for a new one; check who may read and write it.",
    ),
    "replaced": Known(
        ("The database file was replaced.",), "If this stays, look at DATABASE_URL and restart web and worker."
    ),
    "read_only": Known(
        ("The database takes no writes: a stand-by, or a file or disk that is read-only.",),
        "Have DATABASE_URL name the database that takes writes, or give the file and its folder back to Offhook's user.",
    ),
    "unwritable": Known(
        ("The lock file beside the database cannot be opened.",),
        "Let Offhook's user write the folder of the database and the files in it.",
    ),
    "full": Known(("The disk is full.",), "Make room on the disk of the database."),
    "io_error": Known(
        ("The disk of the database failed to read or write.",),
        "Look at the disk and the system's log; where the disk is damaged, restore a backup on another one.",
    ),
    "locked": Known(
        ("Somebody holds a lock: another process, a shell, a backup.",), "End it, where it does not end by itself."
    ),
    "busy": Known(
        ("All connections to the database are in use, or another worker changed the same rows meanwhile.",),
        "It is tried again by itself. If this stays, look for what is slow in the log, and for a second worker.",
    ),
    "unreachable": Known(
        ("The database does not answer.",), "Check whether it runs, and whether DATABASE_URL is right."
    ),
    "slow": Known(
        ("The database does not answer in time.",), "Look at what else it does, at its disk, and at the way to it."
    ),
    "corrupt": Known(("The database file is damaged.",), "Restore a backup."),
    "unsafe": Known(
        ("The file system gives SQLite no WAL, which Offhook needs.",),
        "Put the database on a local disk, or use Postgres.",
    ),
    "failing": Known(("Something unexpected went wrong with the database.",), "The log has the error."),
}

_WORKER = "Look at the worker: its log says what keeps it."

# Why /readyz is behind.
OF_THE_BACKLOG: Mapping[str, Known] = {
    "not_folded": Known(("a callback waits to be folded",), _WORKER),
    "not_decided": Known(("a call waits to be decided",), _WORKER),
    "not_looked_up": Known(
        ("a call waits for its caller to be looked up",), "Look at the sources of OFFHOOK_LOOKUPS, and at the worker."
    ),
    "not_sent": Known(
        ("a conversion waits to be sent",),
        "Look at what keeps it (`flask conversions list`), and at the worker.",
    ),
    "no_worker": Known(
        ("no worker has left a sign of life for {seconds:g} s",), "start `flask worker`, or set OFFHOOK_WORKER=inline"
    ),
}

_ITS_PATH = "Look the path and the method up in /api/v1/openapi.json."
_AS_THE_DOCUMENT_SAYS = "Send it as /api/v1/openapi.json says; `errors` names what is wrong."
_LATER = "Ask again after the seconds of Retry-After."

# Why the API does not do what was asked: the last part of a problem's `type`. The sentence is its `title`.
OF_PROBLEMS: Mapping[str, Known] = {
    "not-found": Known(
        ("Not Found",), f"{_ITS_PATH} Until `flask tokens create` has made a token, nothing of the API is there."
    ),
    "method-not-allowed": Known(("Method Not Allowed",), _ITS_PATH),
    "bad-request": Known(("It is no request that can be served",), _ITS_PATH),
    "request-entity-too-large": Known(
        ("Request Entity Too Large",),
        "Send less in one request: OFFHOOK_API_BODY_BYTES at most, and OFFHOOK_MAX_CALLBACK_BYTES.",
    ),
    "uri-too-long": Known(("URI Too Long",), "Ask for less in one request: path and query have 8190 bytes at most."),
    "header-too-large": Known(
        ("Request Header Fields Too Large",), "Send a smaller header: it has OFFHOOK_MAX_HEADER_BYTES at most."
    ),
    "request-timeout": Known(
        ("The request did not come in time",), "Send it again, all of it within OFFHOOK_REQUEST_SECONDS."
    ),
    "expectation-failed": Known(("Expectation Failed",), "Send no Expect but 100-continue."),
    "not-implemented": Known(("Not Implemented",), "Send the body with a Content-Length, or chunked."),
    "busy": Known(
        ("Others are served just now, and callbacks come first", "Callbacks come first, and there are many now"),
        "Ask again when Retry-After says; OFFHOOK_PAGE_THREADS says how many are served at once.",
    ),
    "unauthorized": Known(
        ("A token is needed",), "Send the token that `flask tokens create` showed, as Authorization: Bearer offhook_..."
    ),
    "forbidden": Known(
        ("This token has no scope {scope}",), "Make a token that has the scope (`flask tokens create`), and send that."
    ),
    "too-many-requests": Known(("Too many requests of this token",), _LATER),
    "unavailable": Known(("The ledger does not answer now",), f"{_LATER} /readyz says what is wrong."),
    "took-too-long": Known(
        ("This took longer than it may: ask for less",), "Ask for fewer rows, or for a shorter time."
    ),
    "failed": Known(("Unexpected error",), "Report it with the traceback of the log (`request_failed`)."),
    "invalid": Known(
        (
            "The request is not as the OpenAPI document says",
            "{what}",
        ),
        _AS_THE_DOCUMENT_SAYS,
    ),
    "not-json": Known(
        ("A body must be application/json", "The body is no JSON"),
        "Send JSON, and say so in Content-Type; `errors` says where it is none.",
    ),
    "too-many-rows": Known(("At most {rows} customers in one request",), "Send them in several requests."),
    "unknown-customer": Known(
        ("Nobody is known to have this number",), "Nothing, where the customer was removed already."
    ),
    "unknown-cursor": Known(("This is no cursor of ours",), "Begin the list anew, without a cursor."),
    "unknown-call": Known(
        ("No callback of this call has been taken in",),
        "Check its CallSid; of a call of just now, ask again in a moment.",
    ),
    "several-calls": Known(
        ("Several accounts have a call of this name: `flask explain` shows each",), "Ask `flask explain CALLSID`."
    ),
    "no-conversion": Known(
        ("There is no conversion of this call",), "Nothing can be sent of it: its story says why it does not count."
    ),
    "not-held": Known(("It is neither dead nor held",), "Nothing: it is delivered, or goes on by itself."),
    "may-have-arrived": Known(
        ("It may have arrived already",),
        "Look at Rockerbox first; even_if_it_may_have_arrived=true sends it all the same.",
    ),
    "lacks-a-field": Known(
        ("It lacks a field of the account's deduplication key",),
        "Give the customer or the rules what is missing, then ask with rebuild=true.",
    ),
    "rules-unusable": Known(("The rules cannot be used",), "`flask rules check` says what is wrong with them."),
    "not-rebuilt": Known(
        ("It is left as it is",), "`detail` says what may keep it; rebuild=false sends the same again."
    ),
    "key-of-another-request": Known(
        ("This Idempotency-Key was used for another request",), "Make a new key for each request."
    ),
    "under-way": Known(
        ("The request of this Idempotency-Key is under way",),
        "Ask again with the same key in a moment, for its answer.",
    ),
}

_IN_THE_LIST = "Correct the row in the list and import it again."
_AS_TEXT = "Export the list anew with this column as text, and import it again."
_ENCODED = "Export the list as UTF-8, or name its encoding with --encoding, and import it again."

OF_IMPORTS: Mapping[str, Known] = {
    "phone_missing": Known(
        ("The row has no phone.",), "Nothing, where the customer has none; else add it and import again."
    ),
    "phone_withheld": Known(
        ("The phone is what Twilio says of a caller who withholds the number.",), "Nothing: it is no customer's number."
    ),
    "phone_unreadable": Known(
        ("The phone is no phone number, neither international nor of the default country.",),
        f"{_IN_THE_LIST} Where all numbers are of another country, say so with --country.",
    ),
    "not_json": Known(("The line is no object of JSON.",), "Write an object a line, and import it again."),
    "attribute_too_long": Known(
        ("A further column holds more than is kept of a customer.",),
        "The rest of the row is used. OFFHOOK_CUSTOMERS_ATTRIBUTE_CHARACTERS is how long an attribute may be.",
    ),
    "no_customer": Known(("The row has neither email nor customer id.",), _IN_THE_LIST),
    "email_invalid": Known(("The email is neither one nor its MD5, SHA-1 or SHA-256 in hex.",), _IN_THE_LIST),
    "email_second": Known(
        ("The cell has several emails, and only the first is used.",),
        "Nothing, where the first is right; else put the right one first and import again.",
    ),
    "id_lost_digits": Known(("A spreadsheet has shortened the customer id.",), _AS_TEXT),
    "control_character": Known(("A value holds a character that cannot be seen.",), _IN_THE_LIST),
    "too_long": Known(("A value, or the whole row, is longer than any can be.",), _IN_THE_LIST),
    "columns": Known(
        ("The row has more or fewer fields than the header.",),
        "Put values that hold the separator in double quotes, and import it again.",
    ),
    "quotes": Known(
        ("A quote that opens in the row is not closed.",),
        "Close it, or write it twice within quotes, and import it again.",
    ),
    "not_utf8": Known(("The row is not UTF-8.",), _ENCODED),
    "not_decodable": Known(("The row is not in the encoding that was named.",), _ENCODED),
    "conflict": Known(
        ("Other rows give the number to another customer.",),
        "Leave the number to one customer and import the list again, or say with --conflict which row is used.",
    ),
}

_NAMED = "`flask customers lookup NUMBER` asks now and shows what each source of OFFHOOK_LOOKUPS answers."
_ITS_URL = "Check its url in OFFHOOK_LOOKUPS, and this machine's network and firewall."
_ITS_KEYS = "Check its url and headers (the key) in OFFHOOK_LOOKUPS."
_ITS_PROXY = "Check OFFHOOK_EGRESS_PROXY, and whether the proxy lets this machine reach the source."

# Why a source could not say who calls. The call waits, and the source is asked again by itself.
OF_LOOK_UPS: Mapping[str, Known] = {
    "http_*": Known(("The source answered with an error ({word}).",), f"Look at the source. {_NAMED}"),
    "http_401": Known(("The source does not let us in ({word}).",), _ITS_KEYS),
    "http_403": Known(("The source does not let us in ({word}).",), _ITS_KEYS),
    "http_429": Known(
        ("The source asks to be asked less often ({word}).",), "Lower OFFHOOK_LOOKUP_AT_ONCE if this stays."
    ),
    "redirect": Known(("The source leads elsewhere, and numbers are never sent after it.",), _ITS_URL),
    "bad_answer": Known(("What came back is no answer that can be read.",), f"{_ITS_URL} {_NAMED}"),
    "wrong_json": Known(("The answer is no JSON.",), f"{_ITS_URL} {_NAMED}"),
    "wrong_value": Known(
        ("An email or an id of the answer is a list or an object.",), f"Correct the JSONPath of email or id. {_NAMED}"
    ),
    "no_customer_in_answer": Known(
        ("The answer has neither an email nor an id where OFFHOOK_LOOKUPS says that they are.",),
        "Correct record, email and id. Of a source that answers an unknown number with an empty list, record must lead to that "
        'list (record = "$.results", email = "$.email"), not into it. A SELECT must name columns email and customer_id.',
    ),
    "too_large": Known(
        ("The answer is longer than OFFHOOK_LOOKUP_MAX_ANSWER_BYTES.",),
        "Have the source answer with one customer, or raise the setting.",
    ),
    "deadline": Known(
        ("The source did not answer within OFFHOOK_LOOKUP_DEADLINE_SECONDS.",),
        "Look at the source; raise the setting where it is always slow.",
    ),
    "no_answer": Known(("The connection was closed without an answer.",), f"Look at the source. {_NAMED}"),
    "reset": Known(("The connection broke before the answer was whole.",), f"Look at the source. {_NAMED}"),
    "connection_lost": Known(("The connection broke before anything was asked.",), f"Look at the source. {_NAMED}"),
    "dns": Known(("The host of the source has no address.",), _ITS_URL),
    "dns_timeout": Known(("The look-up of the source's host took too long.",), _ITS_URL),
    "connect_refused": Known(("Nobody listens at the source's host.",), _ITS_URL),
    "connect_timeout": Known(("The source's host does not answer.",), _ITS_URL),
    "connect_failed": Known(("The source's host cannot be reached.",), _ITS_URL),
    "tls": Known(
        ("The other side cannot prove that it is the source, or speaks no TLS that we do.",),
        "Where a company's network opens TLS, name the file of its authority (PEM) in OFFHOOK_CA_FILE; else check the url.",
    ),
    "tls_timeout": Known(("The source took too long to agree on TLS.",), _ITS_URL),
    "proxy_*": Known(("The way through the proxy of OFFHOOK_EGRESS_PROXY is shut ({word}).",), _ITS_PROXY),
    "error": Known(("The source could not be asked; the log has the kind of the error.",), _NAMED),
    "unexpected_*": Known(
        ("A fault of Offhook's own while the source was asked ({word}).",), "Report it with the traceback of the log."
    ),
    "sql_unreachable": Known(
        ("The source's database does not answer, or lets us not in.",),
        "Check its database in OFFHOOK_LOOKUPS: host, user, password, whether the file is there.",
    ),
    "sql_failed": Known(
        ("The source's database refuses the SELECT.",), f"Try its sql by hand; it may read and nothing else. {_NAMED}"
    ),
    "sql_hangs": Known(
        ("Questions to the source's database hang, so no further ones are begun.",),
        "Look at the database; restart the worker if this stays.",
    ),
}

_AGAIN_THERE = "Try again in a moment, or use your password."
_BY_THE_LOG = "The log's `oidc_failed` has the reason in `detail`; "
_BEGUN_ONCE = Known(
    ("This sign-in was not begun in this browser, took too long, or was finished already.",),
    "Nothing, where somebody was slow or went back in the browser. Where it comes often, somebody may try to come in by a link.",
    to_do="Begin it again.",
)

# Why somebody does not come in by single sign-on. `to_do` is for them, on the sign-in page; the advice for whoever runs Offhook.
OF_SIGN_IN: Mapping[str, Known] = {
    "slow": Known(
        ("{name} took too long to answer.",),
        "Look at the provider and at the way to it; OFFHOOK_OIDC_SECONDS is how long it may take.",
        to_do=_AGAIN_THERE,
    ),
    "unreachable": Known(
        ("{name} cannot be reached now.",),
        f"{_BY_THE_LOG}check OFFHOOK_OIDC_ISSUER, and this machine's network, proxy and firewall.",
        to_do=_AGAIN_THERE,
    ),
    "wrong_answer": Known(
        ("{name} gave an answer that cannot be used.",),
        f"{_BY_THE_LOG}check OFFHOOK_OIDC_ISSUER: it must be the address that the provider names itself.",
        to_do="Use your password; whoever runs Offhook finds the reason in the log.",
    ),
    "client_refused": Known(
        ("{name} does not accept this Offhook.",),
        "Check OFFHOOK_OIDC_CLIENT_ID and OFFHOOK_OIDC_CLIENT_SECRET: the secret may have ended.",
        to_do="Use your password, and ask whoever runs Offhook whether the id and the secret are those that the provider gave.",
    ),
    "code_refused": Known(
        ("{name} says that this sign-in was used already or is too old.",),
        "Nothing, where it does not come often: it has to be begun again.",
        to_do="Begin it again.",
    ),
    "forged": Known(
        ("What came back from {name} cannot be trusted.",),
        f"{_BY_THE_LOG}where it stays so, compare this machine's clock and the provider's, and its keys.",
        to_do="Begin it again; if it stays so, ask an admin here.",
    ),
    "too_late": _BEGUN_ONCE,
    "used_already": _BEGUN_ONCE,
    "state": _BEGUN_ONCE,
    "no_email": Known(
        ("{name} does not say what your email is.",),
        "Have the provider give the claim email: OFFHOOK_OIDC_SCOPES is what it is asked for.",
        to_do="Ask an admin here: the provider must give the claim email.",
    ),
    "email_not_verified": Known(
        ("{name} does not say that your email is verified.",),
        "Have it verified at the provider; OFFHOOK_OIDC_VERIFIED_CLAIM is the claim that says so.",
        to_do="Verify it there, or ask an admin here.",
    ),
    "other_domain": Known(
        ("Your account is none of those that may come in here.",),
        "OFFHOOK_OIDC_DOMAINS has the domains whose emails may.",
        to_do="Use another account, or ask an admin here.",
    ),
    "no_role": Known(
        ("Your account is in no group that may come in here.",),
        "OFFHOOK_OIDC_ROLES has the groups that may, by the claim of OFFHOOK_OIDC_ROLE_CLAIM.",
        to_do="Ask an admin here which one it must be.",
    ),
    "user_disabled": Known(
        ("You may not come in any more.",), "An admin can let the user in again.", to_do="Ask an admin here."
    ),
    "email_of_another": Known(
        ("Your email is that of a user here who is another account at the provider.",),
        "Remove that user where it is the same person, who is linked anew at the next sign-in.",
        to_do="Ask an admin here to remove that user.",
    ),
}

# Of one call: where the same word means something else elsewhere, the table says which is meant.
REASONS: Mapping[str, Known] = {**OF_DECISIONS, **OF_CONVERSIONS, **OF_ATTEMPTS}


def sentence(word: str, which: int = 0, /, **names: object) -> str:
    """One of the sentences of a word, filled in. Raises KeyError for a word that is none."""
    return REASONS[word].sentences[which].format(word=word, **names)


def known(word: str, within: Mapping[str, Known] = REASONS) -> Known | None:
    """What is known of a word; None for one of an older or a newer version."""
    return within.get(_name(word, within))


def on_pages(word: str) -> Known:
    """The same for whoever reads pages, its few words filled in; of a word that is not known, or one of a brand's own rules,
    its spelling. What stands behind a blank (which call) plays no part, and may be missing.
    """
    return _on_pages(word.partition(" ")[0])


@lru_cache(maxsize=1000)
def _on_pages(kind: str) -> Known:
    name = _name(kind, REASONS) or _name(f"{kind} ", REASONS)
    found = REASONS.get(name, Known(()))
    rest = kind.removeprefix(name.removesuffix("*"))
    number = "".join(filter(str.isdigit, kind))
    return replace(found, short=found.short.format(rest=rest, number=number) or kind.replace("_", " "))


def remedy(word: str, result: str = "") -> str:
    """What can be done about it; empty where nothing is wrong, or the word is not known.

    `result` is what the attempt came to that has this reason, where there was one.
    """
    found = known(word)
    return found.remedy(result) if found else ""


def _name(word: str, within: Mapping[str, Known]) -> str:
    """The word itself, or the longest name with a `*` that it begins like; empty where there is none."""
    if word in within:
        return word
    return max((name for name in within if name.endswith("*") and word.startswith(name[:-1])), key=len, default="")
