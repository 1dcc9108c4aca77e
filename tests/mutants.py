"""Puts one-line bugs into a copy of the product, one at a time, and prints those that no test notices. Changes nothing here.

    python -m tests.mutants --count 40 --seed 7
    python -m tests.mutants --only adapters/ledger/outbox.py --count 100

A survivor is a question, not always a fault: some changes make no difference that anybody could see.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

HERE = Path(__file__).parents[1]
ROOMS = ("offhook/pipeline", "adapters/ledger", "adapters/rockerbox", "adapters/twilio")
LEFT_OUT = ("migrations", "sandbox", "__pycache__", "statistics.py", "postgres.py", "version.py")
# Which tests are asked about a file whose path begins so, the quickest first; the longest beginning counts. On SQLite alone.
ASKED = {
    "offhook/pipeline": "rehearsal stateful",
    "offhook/pipeline/bookkeeper": "bookkeeping",
    "offhook/pipeline/call": "call reading bookkeeping",
    "offhook/pipeline/callback": "call reading bookkeeping",
    "offhook/pipeline/conversion": "decision call who_called",
    "offhook/pipeline/delivery": "delivery copies ledger",
    "offhook/pipeline/heart": "heart",
    "offhook/pipeline/lookout": "bookkeeping",
    "offhook/pipeline/masking": "masking",
    "offhook/pipeline/phone": "phone",
    "offhook/pipeline/refusals": "tally",
    "offhook/pipeline/repeated": "repeated",
    "offhook/pipeline/rules": "rules rules_file decision",
    "offhook/pipeline/skew": "skew",
    "offhook/pipeline/steps": "copies ledger bookkeeping unfinished stateful",
    "offhook/pipeline/telling": "day_turns rebuild",
    "offhook/pipeline/unfinished": "unfinished",
    "offhook/pipeline/worker": "day_turns bookkeeping skew",
    "adapters/ledger": "ledger copies sqlite bookkeeping",
    "adapters/ledger/address": "database_address",
    "adapters/ledger/books": "bookkeeping unfinished who_called stateful",
    "adapters/ledger/inspect": "commands ledger rebuild unfinished",
    "adapters/ledger/intake_counts": "tally",
    "adapters/ledger/mapping": "ledger who_called customers_csv",
    "adapters/ledger/migrate": "migrations",
    "adapters/ledger/people": "who_called",
    "adapters/ledger/rebuild": "rebuild",
    "adapters/ledger/sqlite": "write_lock sqlite ledger",
    "adapters/ledger/waiting": "bookkeeping",
    "adapters/ledger/watch": "watch",
    "adapters/ledger/workers": "heart",
    "adapters/ledger/write_lock": "write_lock sqlite",
    "adapters/rockerbox": "rockerbox_client way_out",
    "adapters/rockerbox/payload": "rockerbox_payload",
    "adapters/rockerbox/proxy": "way_out",
    "adapters/twilio": "reading signature",
    "adapters/twilio/explaining": "tally signature",
    "adapters/twilio/rest": "way_out recordings_sources",
}
LIMIT_SECONDS = 600  # whoever hangs has noticed

_OTHER_COMPARISON: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OTHER_SUM: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}
_REMOVABLE = (ast.Expr, ast.AugAssign, ast.Raise, ast.Delete, ast.Continue, ast.Break)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: in which file (from the root), between which places in its text, and to what."""

    file: str
    line: int
    start: int
    end: int
    new: str

    def text(self, source: str) -> str:
        return source[: self.start] + self.new + source[self.end :]

    def told(self, source: str) -> str:
        old = " ".join(source[self.start : self.end].split())
        return f"{self.file}:{self.line}: `{old[:90]}` -> `{self.new[:90]}`"


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """Every change of one file that is tried."""
    lines = [0]
    for line in source.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def place(line: int, column: int) -> int:
        """From lines and bytes to a place in the text."""
        return len(source.encode()[: lines[line - 1] + column].decode())

    for node in _changeable(ast.parse(source)):
        for new in _others(node):
            start, end = place(node.lineno, node.col_offset), place(node.end_lineno or 0, node.end_col_offset or 0)
            yield Mutant(file, node.lineno, start, end, new)


def _changeable(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """What runs: no annotation, decorator, default text, or part of an f-string, whose places are not known in Python 3.11."""
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
    match node:
        case ast.Compare(left, [operator], [right]):
            yield f"({ast.unparse(ast.Compare(left, [_OTHER_COMPARISON[type(operator)]()], [right]))})"
        case ast.BoolOp(ast.And(), values):
            yield f"({ast.unparse(ast.BoolOp(ast.Or(), values))})"
        case ast.BoolOp(ast.Or(), values):
            yield f"({ast.unparse(ast.BoolOp(ast.And(), values))})"
        case ast.UnaryOp(ast.Not(), operand):
            yield f"({ast.unparse(operand)})"
        case ast.BinOp(left, operator, right) if type(operator) in _OTHER_SUM and not _has_text(node):
            yield f"({ast.unparse(ast.BinOp(left, _OTHER_SUM[type(operator)](), right))})"
        case ast.Constant(bool() as value):
            yield repr(not value)
        case ast.Constant(int() | float() as value):
            yield repr(value + 1)
        case ast.Expr(ast.Constant()):  # a docstring
            return
        case _ if isinstance(node, _REMOVABLE):
            yield "pass"
        case ast.If(orelse=[]):
            yield "pass"


def _has_text(node: ast.AST) -> bool:
    """A sum of texts: to subtract them is an error of types, which nobody would write."""
    return any(isinstance(each, (ast.JoinedStr, ast.List, ast.Tuple)) or _is_text(each) for each in ast.walk(node))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def every_mutant(only: str) -> list[Mutant]:
    files = [path for room in ROOMS for path in sorted((HERE / room).rglob("*.py"))]
    names = [str(path.relative_to(HERE)) for path in files]
    wanted = [name for name in names if name.startswith(only) and not any(part in name for part in LEFT_OUT)]
    return list(chain.from_iterable(mutants_of(name, (HERE / name).read_text(encoding="utf-8")) for name in wanted))


def tests_for(file: str) -> list[str]:
    """The test files that are asked about it, those that are there."""
    beginning = max((each for each in ASKED if file.startswith(each)), key=len)
    return [f"tests/test_{name}.py" for name in ASKED[beginning].split() if (HERE / f"tests/test_{name}.py").exists()]


def passes(tree: Path, tests: Sequence[str]) -> bool:
    """Whether these tests pass in a copy of the tree."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", "not postgres"]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OFFHOOK_STATEFUL_EXAMPLES": "25"}
    try:
        done = subprocess.run(
            [*command, "--hypothesis-profile", "ci", *tests],
            cwd=tree,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def copy_of_the_tree(folder: Path) -> Path:
    tree = folder / "tree"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "bench")
    shutil.copytree(HERE, tree, symlinks=True, ignore=left_out)
    for name in (".ci", ".env.example"):
        if (HERE / name).is_dir():
            shutil.copytree(HERE / name, tree / name)
        elif (HERE / name).exists():
            shutil.copyfile(HERE / name, tree / name)
    return tree


def survives(tree: Path, mutant: Mutant) -> bool:
    """Whether all tests pass with it. The copy is as it was afterwards."""
    path = tree / mutant.file
    source = path.read_text(encoding="utf-8")
    path.write_text(mutant.text(source), encoding="utf-8")
    try:
        return passes(tree, tests_for(mutant.file))
    finally:
        path.write_text(source, encoding="utf-8")


def sample(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    return random.Random(seed).sample(mutants, min(count, len(mutants)))


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=20, help="how many are tried (default 20)")
    options.add_argument(
        "--seed", type=int, default=None, help="the same seed draws the same ones (default: another each time)"
    )
    options.add_argument("--only", default="", help="files whose path begins so")
    given = options.parse_args(arguments)
    seed = random.randrange(10_000) if given.seed is None else given.seed
    chosen = sample(every_mutant(given.only), given.count, seed)
    print(f"{len(chosen)} changes of --seed {seed}, each with its tests on SQLite", flush=True)
    with tempfile.TemporaryDirectory(prefix="offhook-mutants-") as folder:
        return _try_each(copy_of_the_tree(Path(folder)), chosen)


def _try_each(tree: Path, chosen: Sequence[Mutant]) -> int:
    asked = sorted({test for mutant in chosen for test in tests_for(mutant.file)})
    if not passes(tree, asked):
        print(f"These tests fail without any change: {' '.join(asked)}")
        return 1
    lived = 0
    for number, mutant in enumerate(chosen, 1):
        if survives(tree, mutant):
            lived += 1
            print(
                f"survived ({number}/{len(chosen)}) {mutant.told((HERE / mutant.file).read_text('utf-8'))}", flush=True
            )
    print(f"{len(chosen) - lived} of {len(chosen)} were noticed, {lived} survived.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
