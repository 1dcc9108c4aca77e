"""gunicorn's thread worker, but a connection gets a thread only when its whole request is here.

With gunicorn's own sixteen connections that send half a header hold all sixteen threads. Here the bytes are read by the one
thread that polls, which decides by framing.py what they are; each connection has a deadline, and there is a most of them.
It stands on private parts of gunicorn (tests/test_web_worker.py names each and fails when one of them changes).
"""

from __future__ import annotations

import errno
import logging
import resource
import select
import selectors
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from gunicorn import http
from gunicorn.http import errors, wsgi
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from offhook.adapters.web.answers import last_answer, last_answer_of_api
from offhook.adapters.web.framing import NOTHING, Found, Incomplete, Limits, TurnedAway, Whole, is_for_api, look
from offhook.adapters.web.notices import Notices
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.reasons import OF_REFUSALS, known

log = logging.getLogger("offhook.web")

_READ_BYTES = 65536  # in one go
_ACCEPTS_AT_ONCE = 16  # then the others get their turn
_SPARE_FILES = 128  # what a process needs besides connections
_ALWAYS_ANSWERED = b"/healthz"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"  # RFC 9110, section 10.1.1
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a request may take to arrive and a client to read.

    In `first_bytes_seconds` the first bytes of whoever has just connected are on their way. `notice_seconds` lie between two
    lines on one condition, and between two tries to hold more connections again. What is larger than a callback and comes from
    somebody who is signed in may take `large_seconds`, and no more than `large_at_once` of it may be on the way: its bytes are held.
    """

    request_seconds: float
    first_bytes_seconds: float
    notice_seconds: float
    large_seconds: float = 120.0
    large_at_once: int = 2


class Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """One client: what has been read of its next request, and until when it may wait."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.initialized = True  # its parser is made here, of bytes, and never reads a socket
        self.buffer = bytearray()
        self.known = NOTHING
        self.deadline = 0.0
        self.line: Line | None = None
        self.is_last = False
        self.is_for_api = False
        self.has_sent_continue = False

    def take(self, whole: Whole) -> None:
        """The request is whole: gunicorn's parser gets it and nothing else."""
        self.parser = http.get_parser(self.cfg, _pieces(bytes(self.buffer[: whole.length])), self.client)
        self.is_for_api = whole.is_for_api
        del self.buffer[: whole.length]
        self.is_last = whole.is_last
        self.known, self.has_sent_continue = NOTHING, False

    def send_at_once(self, answer: bytes) -> None:
        """What fits is sent; who does not read gets nothing."""
        with suppress(OSError):
            self.sock.send(answer, socket.MSG_DONTWAIT)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The client sends no more."""


@dataclass(frozen=True, slots=True)
class _Admitted:
    """What is larger than a callback comes from somebody who may send it."""

    found: Incomplete


_Served = bool | Found | _Ended | _Admitted
"""True: answered, and the connection is kept; False: answered, and it is not; else not answered yet."""

Line = OrderedDict[Connection, None]
"""Parked connections, the next deadline first."""


class NamelessResponse(wsgi.Response):  # type: ignore[misc]
    """gunicorn's, without saying that it is gunicorn's."""

    def default_headers(self) -> list[str]:
        return [line for line in super().default_headers() if not line.startswith("Server:")]


class WholeRequestWorker(ThreadWorker):  # type: ignore[misc]
    """Parks connections in four lines: `arriving` (a request is awaited or has begun), `large` (the same of one that is larger than
    a callback), `idle` (between two requests) and `leaving` (answered for the last time; what it still sends is thrown away, so
    that the answer is not lost).

    `knows` says whether cookies are of somebody who is signed in, and raises LedgerUnavailable. It may take a while, and is asked
    in a thread of its own: neither the poller nor the threads of the pool wait for it.
    """

    limits: Limits
    patience: Patience
    worker_connections: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arriving, self.large, self.idle, self.leaving = Line(), Line(), Line(), Line()
        self.busy = 0  # threads of the pool, and what waits for one
        self.being_served = 0  # connections that the poller gave to a thread and has not had back
        self._counting = threading.Lock()
        self.most_connections = self.worker_connections
        self.more_at = 0.0  # when to try whether more connections can be held again
        self.notices = Notices(self.patience.notice_seconds, time.monotonic)
        self.aside = ThreadPoolExecutor(1, "aside")
        self.knows: Callable[[str], bool] = lambda _cookies: False
        self.porter = ThreadPoolExecutor(1, "porter")
        self.serving = threading.local()

    def init_process(self) -> None:
        wsgi.Response = NamelessResponse
        files = _open_files(self.worker_connections + _SPARE_FILES)
        self.worker_connections = self.most_connections = max(self.cfg.threads + 1, files - _SPARE_FILES)
        super().init_process()

    # Arriving

    def accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                sock, client = listener.accept()
            except OSError as error:
                if error.errno in _NO_MORE_FILES:
                    self._hold_fewer()
                return  # else nobody waits any more, or he has gone
            self._welcome(Connection(self.cfg, sock, client, listener.getsockname()))
            if self.nr_conns >= self.worker_connections and not self._make_room():
                return

    def _welcome(self, conn: Connection) -> None:
        """Whoever has gone by now is dropped: an exception in the poller would end the process."""
        self.nr_conns += 1
        limit = struct.pack("ll", int(self.patience.request_seconds) or 1, 0)
        try:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)  # for a client that does not read
        except OSError:
            self._drop(conn)
            return
        conn.deadline = time.monotonic() + self.patience.request_seconds
        self._read(conn)

    def _read_parked(self, conn: Connection) -> None:
        """Called by the poller: of several sockets that it found together an earlier one may have cost this one its place."""
        if conn.line is self.idle and self.busy < self.cfg.threads:
            self._unpark(conn)
            self._submit(self.tpool, conn, self._read_and_handle)
        elif conn.line is not None:
            self._read(conn)

    def _read_and_handle(self, conn: Connection) -> _Served:
        """In a free thread: the next request of a connection mostly comes in one piece, and then is answered at once.

        Whatever else it is comes back to the poller; the thread waits for nothing. (To read in the poller what can be
        read here makes it compete with all threads for the interpreter's lock: a fifth fewer callbacks a second.)
        """
        try:
            data = conn.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return conn.known
        except OSError:
            data = b""
        if not data:
            return _Ended()
        conn.buffer += data
        found = look(conn.buffer, conn.known, self.limits)
        if not isinstance(found, Whole):
            return found
        conn.take(found)
        return self.handle(conn)

    def _read(self, conn: Connection) -> None:
        """What the socket holds, and what it comes to."""
        try:
            data = conn.sock.recv(_READ_BYTES)
        except BlockingIOError:
            self._park(conn, self.large if conn.line is self.large else self.arriving)
        except OSError:
            self._drop(conn)
        else:
            if conn.line is self.leaving:
                self._throw_away(conn, data)
            elif data:
                self._received(conn, data)
            else:
                self._ended(conn)

    def _received(self, conn: Connection, data: bytes) -> None:
        if conn.line is self.idle:
            conn.deadline = time.monotonic() + self.patience.request_seconds
        conn.buffer += data
        self._look(conn)

    def _look(self, conn: Connection) -> None:
        self._found(conn, look(conn.buffer, conn.known, self.limits))

    def _found(self, conn: Connection, found: Found) -> None:
        if isinstance(found, Whole):
            self._hand_over(conn, found)
        elif isinstance(found, TurnedAway):
            self._refuse(conn, found)
        else:
            self._wait_for_more(conn, found)

    def _wait_for_more(self, conn: Connection, found: Incomplete) -> None:
        if conn.line is self.large:
            self._park_for_more(conn, found, self.large)
        elif found.head is not None and self.limits.is_large(found.head):
            self._unpark(conn)
            self._submit(self.porter, conn, partial(self._admitted, found))
        else:
            self._park_for_more(conn, found, self.arriving)

    def _admitted(self, found: Incomplete, _conn: Connection) -> _Served:
        """In the porter's thread: whether more than a callback is waited for."""
        cookies = found.head.cookies.decode("latin-1") if found.head else ""
        try:
            return _Admitted(found) if self.knows(cookies) else TurnedAway(413, "large_of_nobody")
        except LedgerUnavailable:
            return TurnedAway(503, "sessions_unavailable")

    def _wait_for_large(self, conn: Connection, found: Incomplete) -> None:
        if len(self.large) >= self.patience.large_at_once:
            self._refuse(conn, TurnedAway(503, "too_many_large"))
            return
        conn.deadline = time.monotonic() + self.patience.large_seconds
        self._park_for_more(conn, found, self.large)

    def _park_for_more(self, conn: Connection, found: Incomplete, line: Line) -> None:
        conn.known = found
        if found.head is not None and found.head.waits_for_100 and not conn.has_sent_continue:
            conn.has_sent_continue = True
            conn.send_at_once(_CONTINUE)
        self._park(conn, line)

    def _ended(self, conn: Connection) -> None:
        """The client sends no more. What it left unfinished is answered: it may still read."""
        if conn.buffer:
            self._refuse(conn, TurnedAway(400, "ended_early"))
        else:
            self._drop(conn)

    # A thread for a whole request

    def _hand_over(self, conn: Connection, whole: Whole) -> None:
        self._unpark(conn)
        conn.take(whole)
        is_full = self.busy >= self.cfg.threads
        if is_full and whole.path == _ALWAYS_ANSWERED:
            self._submit(self.aside, conn, self.handle)
            return
        if is_full:
            self.notices.count("no_thread_free")
        self._submit(self.tpool, conn, self.handle)

    def _submit(self, pool: ThreadPoolExecutor, conn: Connection, serve: Callable[[Connection], _Served]) -> None:
        self._count(pool, 1)
        self.being_served += 1
        future = pool.submit(serve, conn)
        future.add_done_callback(lambda done: self._is_free(pool, conn, done))

    def _is_free(self, pool: ThreadPoolExecutor, conn: Connection, done: Future[_Served]) -> None:
        """Called by the thread itself: it is free before the poller comes to hear of it."""
        self._count(pool, -1)
        self.method_queue.defer(self._finish, conn, done)

    def _count(self, pool: ThreadPoolExecutor, change: int) -> None:
        if pool is self.tpool:
            with self._counting:
                self.busy += change

    def handle(self, conn: Connection) -> bool:
        """gunicorn's, in a thread, which says to `handle_error` nothing of the connection."""
        self.serving.is_for_api = conn.is_for_api
        return bool(super().handle(conn))

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """gunicorn's, in a thread. A client that does not read its answers is one that has gone.

        Ours are small: where there is room at all they fit, and no thread waits for whoever reads a little now and then.
        (SO_SNDTIMEO bounds one `send` of an answer that should not fit, not all of it.)
        """
        req._expected_100_continue = False  # 100 Continue has been sent
        if not _has_room(conn.sock):
            raise BrokenPipeError(errno.EPIPE, "it has not read its answers")
        if conn.is_last:
            req.force_close()
        try:
            return bool(super().handle_request(req, conn))
        except (BlockingIOError, TimeoutError):
            raise BrokenPipeError(errno.EPIPE, "it does not read") from None

    def handle_error(self, _req: Any, client: socket.socket, _addr: Any, exc: BaseException) -> None:
        """Answers for gunicorn, in a thread, with no word of the request's in the answer or in the log."""
        status = status_of(exc)
        if status == 500:
            log.error("request_failed", exc_info=exc)
        else:
            facts = {"status": status, "check": "not_served", "error": type(exc).__name__}
            log.warning("request_refused", extra=facts)
        with suppress(OSError):
            client.sendall(last_answer_of_api(status) if self.serving.is_for_api else last_answer(status))

    def _finish(self, conn: Connection, done: Future[_Served]) -> None:
        """What becomes of the connection; called by the poller."""
        self.being_served -= 1
        if done.cancelled() or done.exception() is not None:
            self._drop(conn)
            return
        try:
            conn.sock.setblocking(False)
        except OSError:  # gunicorn closes the socket where an answer broke off
            self._drop(conn)
            return
        self._served(conn, done.result())

    def _served(self, conn: Connection, served: _Served) -> None:
        if isinstance(served, bool):
            self._answered(conn, served)
        elif isinstance(served, _Ended):
            self._ended(conn)
        elif isinstance(served, _Admitted):
            self._wait_for_large(conn, served.found)
        else:
            conn.deadline = time.monotonic() + self.patience.request_seconds
            self._found(conn, served)

    def _answered(self, conn: Connection, is_kept: bool) -> None:
        if not is_kept:
            self._leave(conn)
        elif conn.buffer:  # the next request came along with this one
            conn.deadline = time.monotonic() + self.patience.request_seconds
            self._look(conn)
        else:
            conn.deadline = time.monotonic() + (self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
            self._park(conn, self.idle)
            if len(self.idle) > self.worker_connections - self.cfg.threads:
                self.notices.count("connection_closed_for_a_new_one")
                self._drop(next(iter(self.idle)))

    # Leaving

    def _refuse(self, conn: Connection, refused: TurnedAway) -> None:
        event = "callback_too_large" if refused.check == "body_too_large" else "request_refused"
        log.warning(event, extra={"status": refused.status, "check": refused.check})
        of_it = known(refused.check, OF_REFUSALS)
        is_programs = is_for_api(conn.buffer)
        remedy = of_it.to_do if of_it else ""
        conn.send_at_once(last_answer_of_api(refused.status) if is_programs else last_answer(refused.status, remedy))
        self._leave(conn)

    def _leave(self, conn: Connection) -> None:
        """Say that no more comes, and wait for the other side to close: RFC 9112, section 9.6."""
        self._unpark(conn)
        conn.buffer.clear()
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.deadline = time.monotonic() + STOP_KEEPALIVE_LINGER
        self._park(conn, self.leaving)

    def _throw_away(self, conn: Connection, data: bytes) -> None:
        if not data:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self._unpark(conn)
        self.nr_conns -= 1
        conn.close()

    def _hold_fewer(self) -> None:
        """The system gives no more files: the database may need one, too."""
        self.worker_connections = max(self.cfg.threads + 1, self.nr_conns - _SPARE_FILES)
        self.more_at = time.monotonic() + self.patience.notice_seconds
        self.notices.count("no_more_files")
        self._keep_a_place_free()

    def _hold_more(self, now: float) -> None:
        """Step by step what was given up when the system gave no files: that may have been a moment."""
        if self.worker_connections < self.most_connections and now >= self.more_at:
            self.worker_connections = min(self.most_connections, 2 * self.worker_connections)
            self.more_at = now + self.patience.notice_seconds

    def _keep_a_place_free(self) -> None:
        """gunicorn accepts nobody while there is none, and so nobody would make room."""
        while self.nr_conns >= self.worker_connections and self._make_room():
            pass

    def _make_room(self) -> bool:
        """Close whoever has waited longest, of those that have least to lose; False when all are being answered."""
        line = self._least_to_lose()
        if line and line is not self.leaving:
            self.notices.count("connection_closed_for_a_new_one")
        if line:
            self._drop(next(iter(line)))
        return bool(line)

    def _least_to_lose(self) -> Line:
        """Those that get no further; else the longer line, so that neither many idle nor many new ones shut the others out.

        Few new ones beside many that are being answered have their `first_bytes_seconds`: those will be idle by then.
        """
        if self.leaving:
            return self.leaving
        if self.arriving and self._is_late(next(iter(self.arriving))):
            return self.arriving
        if len(self.idle) >= len(self.arriving):
            return self.idle
        return self.arriving if len(self.arriving) >= self.being_served else Line()

    def _is_late(self, conn: Connection) -> bool:
        return time.monotonic() >= conn.deadline - self.patience.request_seconds + self.patience.first_bytes_seconds

    # Lines

    def _park(self, conn: Connection, line: Line) -> None:
        if conn.line is line:
            return
        if conn.line is not None:
            del conn.line[conn]
        elif not self._watch(conn):
            self._drop(conn)
            return
        line[conn] = None
        conn.line = line

    def _watch(self, conn: Connection) -> bool:
        """False when the system does not: ENOMEM, or ENOSPC beyond /proc/sys/fs/epoll/max_user_watches."""
        try:
            self.poller.register(conn.sock, selectors.EVENT_READ, lambda _sock: self._read_parked(conn))
        except OSError:
            return False
        return True

    def _unpark(self, conn: Connection) -> None:
        if conn.line is not None:
            del conn.line[conn]
            conn.line = None
            self.poller.unregister(conn.sock)

    def murder_pending(self) -> None:
        """In each turn of gunicorn's loop: the deadlines, and a place for whoever comes next."""
        now = time.monotonic()
        for line in (self.arriving, self.large, self.idle, self.leaving):
            while line and (conn := next(iter(line))).deadline <= now:
                self._expire(conn)
        self._hold_more(now)
        self._keep_a_place_free()
        self.notices.tick()

    def _expire(self, conn: Connection) -> None:
        if conn.line not in (self.arriving, self.large):
            self._drop(conn)
            return
        self.notices.count("request_not_whole_in_time" if conn.buffer else "connection_without_request")
        if conn.buffer:
            conn.send_at_once(last_answer_of_api(408) if is_for_api(conn.buffer) else last_answer(408))
        self._drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """gunicorn calls it with `force` when it ends."""
        if not force:
            return
        for line in (self.arriving, self.large, self.idle, self.leaving):
            for conn in list(line):
                self._drop(conn)
        self.notices.flush()
        self.aside.shutdown(wait=False)
        self.porter.shutdown(wait=False)

    def _cap_keepalive(self, deadline: float) -> None:
        """gunicorn stops: who has sent nothing may still do so for a moment, as a request may be on its way."""
        for conn in [conn for conn in self.arriving if not conn.buffer]:
            self._park(conn, self.idle)
        for conn in self.idle:
            conn.deadline = min(conn.deadline, deadline)


def worker_class(limits: Limits, patience: Patience) -> type[WholeRequestWorker]:
    """What gunicorn.conf.py gives as `worker_class`."""
    return type("WholeRequests", (WholeRequestWorker,), {"limits": limits, "patience": patience})


def _pieces(data: bytes) -> Iterator[bytes]:
    """What gunicorn's parser copies what is left of at each of its reads, so that a large body is no one piece."""
    return (data[at : at + _READ_BYTES] for at in range(0, len(data), _READ_BYTES))


_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.InvalidResponseHeader, 500),
    (errors.InvalidResponseHeaderName, 500),
    (errors.ConfigurationProblem, 500),
    (errors.LimitRequestLine, 414),
    (errors.LimitRequestHeaders, 431),
    (errors.ExpectationFailed, 417),
    (errors.UnsupportedTransferCoding, 501),
    (errors.ParseException, 400),
    (errors.NoMoreData, 400),
)


def status_of(error: BaseException) -> int:
    """The answer to a request that gunicorn's parser refused; 500 where the mistake is ours."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _has_room(sock: socket.socket) -> bool:
    """The system says so only while a good part of the socket's send buffer is free (Linux: a third; BSD: 2 KB)."""
    writable = select.poll()
    writable.register(sock, select.POLLOUT)
    return bool(writable.poll(0))


def _open_files(wanted: int) -> int:
    """Let this process open so many files, if it may; how many it can open now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
