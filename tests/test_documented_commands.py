"""What README and docs say to type works: every block of commands is run as it stands, or says why it is not."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from offhook.adapters.commands.listed import LISTED, Listed
from offhook.pipeline.delivery import State
from offhook.pipeline.tokens import Scope
from offhook.pipeline.unfinished import UNFINISHED
from tests import sinks
from tests.support import ledger
from tests.support.documented import Block, blocks, inline, pages
from tests.support.load import Load
from tests.support.needed import require
from tests.support.processes import REPOSITORY, Web, WorkerProcess, environment, flask
from tests.support.twilio import ACCOUNT_SID, AUTH_TOKEN, callback, new_sid
from tests.support.waiting import wait_until
from tests.support.warm_flask import warm_flask

PAGES = pages(REPOSITORY)
BLOCKS = [block for page, text in PAGES.items() for block in blocks(page, text)]
RUN = [block for block in BLOCKS if not block.why_not_run]
NAMED = sorted({command for text in PAGES.values() for command in inline(text)})
ANN = "+14158675309"  # (415) 867-5309, as the pages write it
WITHOUT_EMAIL = "+442071838750"
FOLDER_OF_A_USER = {
    "customers.csv": "phone,email,customer_id\n(415) 867-5309,ann@example.com,C1042\n+44 20 7183 8750,,C1043\n"
    "+14155550101,cy@example.com,C1044\n",
    "crm.csv": "Phone,Mobile,Home Phone,Email,Lead ID\n020 7183 8751,,+1 415 867 5310,bo@example.com,L-7\n",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A folder as a user has it, with a ledger in it in which one conversion is dead, ANN's, and one is held, as it has no email for
    the account's key. The CallSid of hers, and a token of the API.
    """

    folder: Path
    sid: str
    token: str


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder, sid = tmp_path_factory.mktemp("user"), new_sid()
    for name, text in FOLDER_OF_A_USER.items():
        (folder / name).write_text(text)
    (folder / "crm.csv.gz").write_bytes(gzip.compress((folder / "crm.csv").read_bytes()))
    shutil.copy(REPOSITORY / "tests" / "data" / "exports" / "browser.har", folder / "tunnel.har")
    for name in (".env.example", "offhook.toml.example"):
        shutil.copy(REPOSITORY / name, folder)
    with sinks.Sink(sinks.answer(400)) as sink:
        url = f"sqlite:///{folder}/offhook.db"
        env = environment(url, sink.url)
        for words in (("db", "upgrade"), ("customers", "import", "customers.csv")):
            assert flask(*words, env=env, folder=folder).returncode == 0
        with Web(env, folder) as web, WorkerProcess(env | {"ROCKERBOX_DEDUPE_KEY": "email,date,action"}, folder):
            for call, caller in ((sid, ANN), (new_sid(), WITHOUT_EMAIL)):
                assert web.twilio.send(callback(call, From=caller)).status == 204
            states = "SELECT state FROM conversions ORDER BY state"
            wait_until(lambda: [one["state"] for one in ledger.query(url, states)] == ["ambiguous", "dead"])
    assert flask("db", "backup", "backup.db", env=env, folder=folder).returncode == 0
    scopes = [word for scope in Scope for word in ("--scope", scope.value)]
    made = flask("tokens", "create", "--name", "docs", *scopes, "--json", env=env, folder=folder)
    return Prepared(folder, sid, json.loads(made.stdout)["token"])


@contextmanager
def receiving(env: dict[str, str], folder: Path, text: str) -> Iterator[int]:
    """The port of a web process, where the commands need one; with calls that come in, where they wait for some."""
    with ExitStack() as running:
        if "127.0.0.1:8000" not in text:
            yield 0
            return
        web = running.enter_context(Web(env, folder))
        if "recordings tap" in text:
            running.enter_context(Load(web.twilio, threads=1))
        yield web.port


# Else an answer of 404 would be a success.
_CURL = 'curl() { command curl --fail --silent --show-error "$@"; }'


def as_typed(text: str, sid: str, port: int) -> str:
    """With what a reader puts in for the dots."""
    places = {"CA...": sid, "AC...": ACCOUNT_SID, "--auth-token ...": f"--auth-token {AUTH_TOKEN}"}
    places |= {"CA0123456789abcdef0123456789abcdef": sid, "2026-11-24": str(datetime.now(UTC).date())}
    for dots, filled in (places | {"127.0.0.1:8000": f"127.0.0.1:{port}"}).items():
        text = text.replace(dots, filled)
    assert "..." not in text, "what do the dots stand for?"
    return f"{_CURL}\n{text}" if "curl" in text else text


@contextmanager
def from_nothing_or_warm(block: Block, program: Path) -> Iterator[None]:
    """`flask` itself for what README says; the other pages say the same kind of thing many times over."""
    if block.page == "README.md":
        program.symlink_to(Path(sys.executable).parent / "flask")
        yield
        return
    with warm_flask(program):
        yield


@pytest.mark.parametrize("block", RUN, ids=str)
def test_the_commands_of_each_block_do_what_they_are_there_for(
    block: Block, prepared: Prepared, tmp_path: Path
) -> None:
    folder = shutil.copytree(prepared.folder, tmp_path / "user")
    (folder / ".venv" / "bin").mkdir(parents=True)
    program = folder / ".venv" / "bin" / "flask"
    # A tap ends by itself when its file is full.
    env = environment(f"sqlite:///{folder}/offhook.db", OFFHOOK_TAP_MAX_BYTES="5000", TOKEN=prepared.token)
    if "curl" in block.text:
        require(shutil.which("curl"), f"what {block} says is not run: curl is not installed")
    with receiving(env, folder, block.text) as port, from_nothing_or_warm(block, program):
        script = as_typed(block.text, prepared.sid, port)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], env=env, cwd=folder, capture_output=True, text=True
        )
    assert done.returncode == 0, f"{block}\n{script}\n{done.stdout}{done.stderr}"


def test_a_warm_command_reads_writes_and_fails_like_any_other(tmp_path: Path) -> None:
    program, env = tmp_path / "flask", environment(f"sqlite:///{tmp_path}/offhook.db")
    rows = "printf 'phone,email\\n+14155550101,a@example.com\\n'"
    script = f"./flask db upgrade && {rows} | ./flask customers import - && ./flask none-such"
    with warm_flask(program):
        done = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert "SQLite ledger: empty ->" in done.stdout
    assert (done.returncode, "No such command 'none-such'" in done.stderr) == (2, True), done.stderr


@pytest.mark.unit
@pytest.mark.parametrize("block", [block for block in BLOCKS if block.why_not_run], ids=str)
def test_a_block_that_is_not_run_says_why_and_where_else_it_is(block: Block) -> None:
    tests = re.findall(r"tests/\S+\.py", block.why_not_run)
    assert [test for test in tests if not (REPOSITORY / test).exists()] == []
    assert tests or re.search("needs|takes", block.why_not_run)


@pytest.mark.unit
@pytest.mark.parametrize("page", PAGES)
def test_each_mark_has_its_block(page: str) -> None:
    """A block right under another line is none: neither run nor said not to be."""
    marked = [block for block in BLOCKS if block.page == page and block.why_not_run]
    assert PAGES[page].count("<!-- not run:") == len(marked)


ROOT = click.Group(commands={str(one.name): one for one in LISTED})


def loaded(command: click.Command) -> click.Command:
    return command.load() if isinstance(command, Listed) else command


def mistake(line: str) -> str:
    """What click finds wrong with this command line, "" where it takes it. What a sentence leaves out may be left out."""
    words = shlex.split(re.split(r" [|>] ", line)[0])[1:]
    found: click.Command = ROOT
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        if words[0] not in found.commands:
            return f"No such command {words[0]!r}."
        found = loaded(found.commands[words.pop(0)])
    context = click.Context(found)
    options = [param for param in found.get_params(context) if isinstance(param, click.Option) and not param.is_flag]
    if words and any(words[-1] in option.opts for option in options):
        words.append(_ANYTHING)  # a sentence may name an option without its value
    try:
        values, more, _ = found.make_parser(context).parse_args(words)
        for param in found.get_params(context):
            _takes(param, context, values.get(str(param.name)))
    except click.UsageError as error:
        return error.format_message()
    return f"There is no place for {more}." if more else ""


_ANYTHING = "..."
_CHECKED = (click.Choice, click.IntRange, click.FloatRange, click.types.IntParamType)  # a file need not be there


def _takes(param: click.Parameter, context: click.Context, value: object) -> None:
    """Raises click.BadParameter."""
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(param.type, _CHECKED) and isinstance(one, str) and one != _ANYTHING and not one.isupper():
            param.type(one, param, context)


@pytest.mark.unit
@pytest.mark.parametrize("command", NAMED)
def test_a_command_that_a_sentence_names_is_taken_as_it_stands_there(command: str) -> None:
    assert mistake(command) == ""


@pytest.mark.unit
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("flask jobs cancle 12", "No such command 'cancle'."),
        ("flask jobs cancel twelve", "'twelve' is not a valid integer"),
        ("flask jobs cancel 12 13", "There is no place for ['13']"),
        ("flask jobs cancel 12 --now", "No such option '--now'"),
        ("flask unknown --limit --csv", "'--csv' is not a valid integer"),
        ("flask conversions list --state lost", "'lost' is not one of 'pending'"),
        ("flask unknown --limit | head", ""),
        ("flask conversions list --state ...", ""),
    ],
)
def test_what_click_would_not_take_is_found(line: str, said: str) -> None:
    found = mistake(line)
    assert said in found and bool(said) is bool(found)


def every_command(group: click.Group, path: str = "flask") -> Iterator[tuple[str, click.Command]]:
    """("flask db upgrade", the command), groups too."""
    for name, listed in sorted(group.commands.items()):
        command = loaded(listed)
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from every_command(command, f"{path} {name}")


@pytest.mark.unit
@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in every_command(ROOT)])
def test_the_help_of_each_command_has_an_example_that_click_takes(path: str, command: click.Command) -> None:
    lines = [re.split(r" {2,}|&$|<", line.strip())[0] for line in (command.help or "").splitlines()]
    examples = [line for line in lines if line.startswith("flask ")]
    assert any(re.match(rf"{path}( |$)", example) for example in examples), f"{path} --help has no example"
    assert [(example, mistake(example)) for example in examples if mistake(example)] == []


@pytest.mark.unit
@pytest.mark.parametrize("path", [path for path, command in every_command(ROOT) if isinstance(command, click.Group)])
def test_the_help_of_a_group_says_of_each_command_in_a_whole_sentence_what_it_does(path: str) -> None:
    command: click.Command = ROOT
    for name in path.split()[1:]:
        assert isinstance(command, click.Group)
        command = loaded(command.commands[name])
    with click.Context(command, info_name=path, terminal_width=80) as context:
        commands = command.get_help(context).partition("\nCommands:\n")[2].splitlines()
    assert commands != []
    assert [line for line in commands if line.endswith("...")] == []


@pytest.mark.unit
def test_the_help_of_conversions_explains_each_state_that_its_list_can_show() -> None:
    explained = re.findall(r"^ *(\w+) {2,}\S", dict(every_command(ROOT))["flask conversions"].help or "", re.MULTILINE)
    assert explained == [*State, UNFINISHED]


MARKDOWN = """Some text.

    one --indented

Text that goes on
    is no block.

<!-- not run: needs the moon -->

```sh
two --fenced
```

```text
no command
```

   ```
   three
   ```
"""


@pytest.mark.unit
def test_blocks_are_found_fenced_and_indented_and_a_mark_counts_for_its_block_alone() -> None:
    found = [(block.line, block.text.strip(), block.why_not_run) for block in blocks("page", MARKDOWN)]
    assert found == [(3, "one --indented", ""), (10, "two --fenced", "needs the moon"), (18, "three", "")]


@pytest.mark.unit
def test_a_mark_without_a_reason_is_none_and_a_language_that_is_in_no_list_is_asked_for() -> None:
    [block] = blocks("page", "<!-- not run: -->\n\n    command\n")
    assert block.why_not_run == ""
    with pytest.raises(ValueError, match="page:1: is a block of ruby run"):
        list(blocks("page", "```ruby\nputs 1\n```\n"))
