"""Puts one-line bugs into a copy of the product, one at a time, and prints those that no test notices. Changes nothing here.

    python -m tests.mutants --count 40 --seed 7
    python -m tests.mutants --only adapters/ledger/outbox.py --count 100

A survivor is a question, not always a fault: some changes make no difference that anybody could see. The tests are asked on
SQLite alone. The exit code is 1 when they fail without any change, 2 when the table of who is asked names what is not
there, otherwise 0, whatever survived.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path

# Which tests are asked about a file whose path begins so; the longest beginning counts. A folder that stands here is looked
# through. A test is named by its file, `ledger` for test_ledger.py in any folder of tests, or by a folder of tests.
ASKED = {
    "offhook/pipeline/": "rehearsal stateful",
    "offhook/pipeline/bookkeeper": "bookkeeping",
    "offhook/pipeline/call": "call reading bookkeeping",
    "offhook/pipeline/can_be_done": "can_be_done",
    "offhook/pipeline/deliveries": "deliveries",
    "offhook/pipeline/finding": "finding dashboard_calls",
    "offhook/pipeline/users": "links_of_users dashboard_links",
    "offhook/pipeline/arrival": "reading signature",
    "offhook/pipeline/conversion": "decision call who_called",
    "offhook/pipeline/delivery": "delivery copies ledger",
    "offhook/pipeline/heart": "heart",
    "offhook/pipeline/look_up": "look_up",
    "offhook/pipeline/looking_up": "look_up",
    "offhook/pipeline/lookout": "bookkeeping",
    "offhook/pipeline/masking": "masking",
    "offhook/pipeline/phone": "phone",
    "offhook/pipeline/refusals": "tally",
    "offhook/pipeline/repeated": "repeated",
    "offhook/pipeline/reasons": "reasons",
    "offhook/pipeline/rule_figures": "rule_figures dashboard_rules",
    "offhook/pipeline/rules_compared": "rules_compared",
    "offhook/pipeline/rules_held": "rules_held dashboard_rules",
    "offhook/pipeline/rules/": "conditions rules rules_file decision",
    "offhook/pipeline/sids": "settings recordings_redact recordings_replay signature",
    "offhook/pipeline/skew": "skew",
    "offhook/pipeline/steps": "copies ledger bookkeeping unfinished stateful",
    "offhook/pipeline/delivery_log": "day_turns rebuild",
    "offhook/pipeline/threads": "look_up bookkeeping",
    "offhook/pipeline/trouble": "trouble heart",
    "offhook/pipeline/unfinished": "unfinished",
    "offhook/pipeline/worker": "day_turns bookkeeping skew",
    "adapters/ledger/": "contracts ledger copies sqlite bookkeeping",
    "adapters/ledger/address": "database_address",
    "adapters/ledger/backup": "backup",
    "adapters/ledger/books": "bookkeeping unfinished who_called stateful",
    "adapters/ledger/health": "refused_callbacks workers_alive",
    "adapters/ledger/stories": "commands ledger rebuild unfinished",
    "adapters/ledger/intake_counts": "tally",
    "adapters/ledger/mapping": "ledger who_called customers_csv",
    "adapters/ledger/legal": "states",
    "adapters/ledger/look_ups": "contracts look_up",
    "adapters/ledger/migrate": "migrations",
    "adapters/ledger/people": "who_called",
    "adapters/ledger/rebuild": "rebuild rebuilding",
    "adapters/ledger/rule_tallies": "tallies histories",
    "adapters/ledger/sent": "sent",
    "adapters/ledger/tables": "migrations",
    "adapters/ledger/sqlite": "write_lock sqlite ledger",
    "adapters/ledger/waiting": "bookkeeping",
    "adapters/ledger/watch": "watchdog",
    "adapters/ledger/workers": "heart",
    "adapters/ledger/write_lock": "write_lock sqlite",
    "adapters/rules_file/": "rules rules_file conditions",
    "adapters/rockerbox/": "rockerbox_client way_out",
    "adapters/rockerbox/checks": "sandbox preflight",
    "adapters/rockerbox/dedupe": "sandbox preflight",
    "adapters/rockerbox/payload": "rockerbox_payload",
    "adapters/rockerbox/preflight": "preflight",
    "adapters/rockerbox/qa": "rockerbox_commands",
    "adapters/way_out/": "rockerbox_client way_out",
    "adapters/twilio/": "reading signature",
    "adapters/twilio/explaining": "tally signature",
    "adapters/twilio/rest": "way_out recordings_sources",
}
# What is Postgres's alone, sizes of columns (which SQLite does not obey), what has run once for all, what only plays Rockerbox.
LEFT_OUT = ("/postgres.py", "/statistics.py", "/schema.py", "/migrations/", "/sandbox/", "/version.py")


@dataclass(frozen=True, slots=True)
class Project:
    """Whose bugs are tried: the root of its tree, and which of its tests are asked about which files."""

    root: Path
    asked: Mapping[str, str]

    def files(self) -> list[str]:
        """Every file that is looked through, from the root."""
        folders = [self.root / beginning for beginning in self.asked if beginning.endswith("/")]
        found = {str(path.relative_to(self.root)) for folder in folders for path in folder.rglob("*.py")}
        return sorted(file for file in found if not any(part in file for part in LEFT_OUT))

    def tests_for(self, file: str) -> list[str]:
        """The tests that are asked about it, in the order of the table."""
        beginning = max((each for each in self.asked if file.startswith(each)), key=len)
        return [test for name in self.asked[beginning].split() for test in self._tests(name)]

    def _tests(self, name: str) -> list[str]:
        tests = self.root / "tests"
        found = [tests / name] if (tests / name).is_dir() else sorted(tests.rglob(f"test_{name}.py"))
        return [str(path.relative_to(self.root)) for path in found]

    def missing(self) -> list[str]:
        """What the table names and is not there: it would ask less than it says, in silence."""
        files = self.files()
        unmet = [each for each in self.asked if not any(file.startswith(each) for file in files)]
        names = sorted({name for names in self.asked.values() for name in names.split()})
        return unmet + [f"tests/**/test_{name}.py" for name in names if not self._tests(name)]


OFFHOOK = Project(Path(__file__).parents[1], ASKED)


class Fate(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    TIMED_OUT = "timed out"  # whoever hangs has noticed


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: in which file (from the root), between which places in its text, and to what."""

    file: str
    line: int
    start: int
    end: int
    new: str

    def applied(self, source: str) -> str:
        return source[: self.start] + self.new + source[self.end :]

    def described(self, source: str) -> str:
        old = " ".join(source[self.start : self.end].split())
        return f"{self.file}:{self.line}: `{old[:90]}` -> `{self.new[:90]}`"


_OTHER_COMPARISON: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OTHER_SUM: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """Every change of one file that is tried."""
    encoded = source.encode()
    lines = [0]
    for line in encoded.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def place(line: int, column: int) -> int:
        """From lines and bytes, as the parser counts, to a place in the text."""
        return len(encoded[: lines[line - 1] + column].decode())

    for node in _changeable(ast.parse(source)):
        for new in _others(node):
            start, end = place(node.lineno, node.col_offset), place(node.end_lineno or 0, node.end_col_offset or 0)
            yield Mutant(file, node.lineno, start, end, new)


def _changeable(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """What runs: no annotation, decorator, import, or part of an f-string, whose places are not known in Python 3.11."""
    for child in _children(tree):
        if isinstance(child, (ast.expr, ast.stmt)):
            yield child
        yield from _changeable(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom)):
        return
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "type_params"):
            yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, ast.AST))


def _others(node: ast.expr | ast.stmt) -> Iterator[str]:
    """What might stand there instead, as text."""
    return _other_statements(node) if isinstance(node, ast.stmt) else map("({})".format, _other_expressions(node))


def _other_statements(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Expr(ast.Constant()):  # a docstring
            return
        case (
            ast.If(orelse=[]) | ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Continue() | ast.Break()
        ):
            yield "pass"


def _other_expressions(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Compare(left, [operator], [right]):
            yield ast.unparse(ast.Compare(left, [_OTHER_COMPARISON[type(operator)]()], [right]))
        case ast.BoolOp(operator, values):
            yield ast.unparse(ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values))
        case ast.UnaryOp(ast.Not(), operand):
            yield ast.unparse(operand)
        case ast.BinOp(left, operator, right) if type(operator) in _OTHER_SUM and not _has_text(node):
            yield ast.unparse(ast.BinOp(left, _OTHER_SUM[type(operator)](), right))
        case ast.Constant(value) if isinstance(value, (bool, int, float)):
            yield repr(not value if isinstance(value, bool) else value + 1)


def _has_text(node: ast.AST) -> bool:
    """A sum of texts or lists: to subtract them is an error of types, which nobody would write."""
    return any(isinstance(each, (ast.JoinedStr, ast.List, ast.Tuple)) or _is_text(each) for each in ast.walk(node))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def sample(project: Project, only: str, count: int, seed: int) -> list[Mutant]:
    """So many of all changes of the files whose path begins so, by lot; in the order of the files."""
    files = [file for file in project.files() if file.startswith(only)]
    every = list(chain.from_iterable(mutants_of(file, (project.root / file).read_text("utf-8")) for file in files))
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    return sorted(chosen, key=lambda mutant: (mutant.file, mutant.start, mutant.new))


def fate(tree: Path, tests: Sequence[str], limit_seconds: float, output: int | None = subprocess.DEVNULL) -> Fate:
    """What these tests say of a copy of the tree as it is now."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-k", "not postgres", "--hypothesis-profile", "mutants"]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    asking = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=tree,
        env=env,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        return Fate.KILLED if asking.wait(limit_seconds) else Fate.SURVIVED
    except subprocess.TimeoutExpired:
        return Fate.TIMED_OUT
    finally:
        _end(asking)


def _end(asking: subprocess.Popen[bytes]) -> None:
    """It and whatever servers its tests began."""
    with suppress(ProcessLookupError):
        os.killpg(asking.pid, signal.SIGKILL)
    asking.wait()


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """The tree in a temporary folder, without what is made anew or belongs to this machine."""
    left_out = shutil.ignore_patterns(".venv", ".git", ".*_cache", ".hypothesis", "__pycache__", "node_modules", ".env")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        Path(folder).chmod(0o755)  # some tests run as another user
        yield Path(shutil.copytree(root, Path(folder) / "tree", symlinks=True, ignore=left_out))


def tried(tree: Path, project: Project, mutant: Mutant, limit_seconds: float) -> Fate:
    """What becomes of it. The copy is as it was afterwards."""
    path = tree / mutant.file
    source = path.read_text("utf-8")
    path.write_text(mutant.applied(source), "utf-8")
    try:
        return fate(tree, project.tests_for(mutant.file), limit_seconds)
    finally:
        path.write_text(source, "utf-8")


def try_each(project: Project, chosen: Sequence[Mutant], limit_seconds: float) -> int:
    """The exit code; prints what survived as it comes, then the counts."""
    asked = list(dict.fromkeys(test for mutant in chosen for test in project.tests_for(mutant.file)))
    fates: Counter[Fate] = Counter()
    with copy_of(project.root) as tree:
        if fate(tree, asked, limit_seconds * len(asked), output=None) is not Fate.SURVIVED:
            print(f"These tests fail without any change: {' '.join(asked)}")
            return 1
        for number, mutant in enumerate(chosen, 1):
            became = tried(tree, project, mutant, limit_seconds)
            fates[became] += 1
            if became is not Fate.KILLED:
                described = mutant.described((tree / mutant.file).read_text("utf-8"))
                print(f"{became} ({number} of {len(chosen)}) {described}", flush=True)
    print(", ".join(f"{fates[each]} {each}" for each in Fate))
    return 0


def main(arguments: Sequence[str] | None = None, project: Project = OFFHOOK) -> int:
    given = _options().parse_args(arguments)
    if missing := project.missing():
        print("The table of who is asked names what is not there:", *missing, sep="\n  ")
        return 2
    seed = random.randrange(10_000) if given.seed is None else given.seed
    chosen = sample(project, given.only, given.count, seed)
    if not chosen:
        print(
            f"Nothing to change in files that begin with {given.only!r}; looked through are those of:", *project.files()
        )
        return 2
    print(f"{len(chosen)} changes of --seed {seed}; first the tests without any change:", flush=True)
    return try_each(project, chosen, given.limit)


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--count", type=int, default=40, help="how many changes are tried, by lot (default: 40)")
    options.add_argument("--seed", type=int, help="the same seed draws the same ones (default: another each time)")
    options.add_argument("--only", default="", metavar="PATH", help="only files whose path begins so, from the root")
    options.add_argument(
        "--limit", type=float, default=300, metavar="SECONDS", help="what takes longer has timed out (default: 300)"
    )
    return options


if __name__ == "__main__":
    raise SystemExit(main())
