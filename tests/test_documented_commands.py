"""What README and docs say to type works: every block of commands is run as it stands, or says why it is not."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from offhook.adapters.commands.listed import LISTED, Listed
from offhook.pipeline.delivery import State
from offhook.pipeline.unfinished import UNFINISHED
from tests import sinks
from tests.support import ledger
from tests.support.documented import Block, blocks, inline, pages
from tests.support.load import Load
from tests.support.processes import REPOSITORY, Web, WorkerProcess, environment, flask
from tests.support.twilio import ACCOUNT_SID, AUTH_TOKEN, callback, new_sid
from tests.support.waiting import wait_until
from tests.support.warm_flask import warm_flask

PAGES = pages(REPOSITORY)
BLOCKS = [block for page, text in PAGES.items() for block in blocks(page, text)]
RUN = [block for block in BLOCKS if not block.why_not_run]
NAMED = sorted({command for text in PAGES.values() for command in inline(text)})
ANN = "+14158675309"  # (415) 867-5309, as the pages write it
FOLDER_OF_A_USER = {
    "customers.csv": "phone,email,customer_id\n(415) 867-5309,ann@example.com,C1042\n+44 20 7183 8750,,C1043\n",
    "crm.csv": "Phone,Mobile,Home Phone,Email,Lead ID\n020 7183 8751,,+1 415 867 5310,bo@example.com,L-7\n",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A folder as a user has it, with a ledger in it, and the CallSid of a call of ANN's whose conversion is dead."""

    folder: Path
    sid: str


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
        with Web(env, folder) as web, WorkerProcess(env, folder):
            assert web.twilio.send(callback(sid, From=ANN)).status == 204
            wait_until(lambda: ledger.query(url, "SELECT state FROM conversions") == [{"state": "dead"}])
    assert flask("db", "backup", "backup.db", env=env, folder=folder).returncode == 0
    return Prepared(folder, sid)


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


def as_typed(text: str, sid: str, port: int) -> str:
    """With what a reader puts in for the dots."""
    places = {"CA...": sid, "AC...": ACCOUNT_SID, "--auth-token ...": f"--auth-token {AUTH_TOKEN}"}
    for dots, filled in (places | {"127.0.0.1:8000": f"127.0.0.1:{port}"}).items():
        text = text.replace(dots, filled)
    assert "..." not in text, "what do the dots stand for?"
    return text


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
    env = environment(f"sqlite:///{folder}/offhook.db", OFFHOOK_TAP_MAX_BYTES="5000")
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


ROOT = click.Group(commands={str(one.name): one for one in LISTED})


def loaded(command: click.Command) -> click.Command:
    return command.load() if isinstance(command, Listed) else command


def wrong_words(line: str) -> list[str]:
    """The words of this command line that name no command, or no option of its command."""
    words = shlex.split(line)[1:]
    found: click.Command = ROOT
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        if words[0] not in found.commands:
            return words[:1]
        found = loaded(found.commands[words.pop(0)])
    known = {name for param in found.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
    return [word for word in words if word.startswith("--") and word.split("=")[0] not in known]


@pytest.mark.unit
@pytest.mark.parametrize("command", NAMED)
def test_a_command_that_a_sentence_names_is_there_with_its_options(command: str) -> None:
    assert wrong_words(command) == []


def every_command(group: click.Group, path: str = "flask") -> Iterator[tuple[str, click.Command]]:
    """("flask db upgrade", the command), groups too."""
    for name, listed in sorted(group.commands.items()):
        command = loaded(listed)
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from every_command(command, f"{path} {name}")


@pytest.mark.unit
@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in every_command(ROOT)])
def test_the_help_of_each_command_has_an_example_whose_words_are_all_there(path: str, command: click.Command) -> None:
    lines = [re.split(r" {2,}|&$|<", line.strip())[0] for line in (command.help or "").splitlines()]
    examples = [line for line in lines if line.startswith("flask ")]
    assert any(re.match(rf"{path}( |$)", example) for example in examples), f"{path} --help has no example"
    assert [(example, wrong_words(example)) for example in examples if wrong_words(example)] == []


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
