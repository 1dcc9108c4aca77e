"""The rules: what a person may write in offhook.toml, what is answered to a mistake, and that the line is right."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offhook.adapters.rules_file.lines import Lines as _Lines
from offhook.adapters.rules_file.problems import Problem, RulesError
from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.callback import Direction, Status
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules.kinds import MAX_EXTRA_INT, MAX_EXTRA_TEXT, MAX_REVENUE, MAX_SECONDS, MAX_TEXT
from offhook.pipeline.rules.results import FIXED, RESULTS, Number
from offhook.pipeline.rules.templates import ALIASES, FIELDS, ExtraValue, render, render_extra

pytestmark = pytest.mark.unit

EXAMPLE = Path(__file__).parent.parent / "offhook.toml.example"


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(RulesError) as caught:
        parse(text, region="US")
    return caught.value.problems


def problem_of(text: str) -> Problem:
    (problem,) = problems_of(text)
    return problem


# What is written is what counts


def test_an_empty_file_means_the_defaults() -> None:
    assert parse("", region="US") == Rules()
    assert Rules().action == "phone_call"
    assert Rules().statuses == {Status.COMPLETED}
    assert Rules().directions == {Direction.INBOUND}
    assert Rules().min_duration_seconds == 0
    assert Rules().order_id == "{call_sid}"


def test_every_setting_is_read() -> None:
    rules = parse(
        """
        action = "call"
        min_duration_seconds = 30
        statuses = ["completed", "no-answer"]
        directions = ["inbound", "outbound-api"]
        order_id = "phone-{call_sid}"
        revenue = 10
        only_listed_numbers = true
        extra = { a = "{to}", n = 2, f = 0.5, yes = true }
        [[numbers]]
        number = "(415) 555-0100"
        label = "TV"
        action = "tv_call"
        revenue = "27.50"
        extra = { channel = "tv" }
        """,
        region="US",
    )
    assert rules == Rules(
        action="call",
        min_duration_seconds=30,
        statuses=frozenset({Status.COMPLETED, Status.NO_ANSWER}),
        directions=frozenset({Direction.INBOUND, Direction.OUTBOUND_API}),
        order_id="phone-{call_sid}",
        revenue=Decimal(10),
        extra={"a": "{to}", "n": 2, "f": 0.5, "yes": True},
        only_listed_numbers=True,
        numbers={
            "+14155550100": Number("+14155550100", "TV", "tv_call", Decimal("27.50"), {"channel": "tv"}),
        },
    )
    assert type(rules.extra["f"]) is float


def test_numbers_are_read_for_the_country_that_is_given() -> None:
    text = '[[numbers]]\nnumber = "020 7946 0958"'
    assert list(parse(text, region="GB").numbers) == ["+442079460958"]
    assert list(parse(text, region="DE").numbers) == ["+492079460958"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("27.50", "27.50"),
        ("27.5", "27.50"),
        ("27", "27.00"),
        ('"27.50"', "27.50"),
        ("0", "0.00"),
        ("-0.0", "0.00"),
        ("0.1", "0.10"),
        ("1e3", "1000.00"),
        (str(MAX_REVENUE), f"{MAX_REVENUE}.00"),
    ],
)
def test_revenue_is_exact_and_has_two_places(written: str, meant: str) -> None:
    assert str(parse(f"revenue = {written}").revenue) == meant


@pytest.mark.parametrize(
    "written",
    ["-1", "-0.01", "27.505", '"27.500"', '"$27.50"', '"1,000.00"', '"1_0"', '"２"', '" 1"', '"-0"', '""', "true",
     "nan", "inf", '"NaN"', "1e999999", "1e-999999", "0x" + "f" * 5000, "[1]", f"{MAX_REVENUE + 1}", "10000000.01"],
)  # fmt: skip
def test_what_is_no_amount_of_dollars_is_refused(written: str) -> None:
    assert problem_of(f"\nrevenue = {written}").line == 2
    assert "Write e.g. revenue = 27.50, or a template" in problem_of(f"revenue = {written}").message


def test_extra_may_be_a_list_of_fields_and_friendlier_names() -> None:
    rules = parse('extra = ["duration_seconds", "label", "call_duration", "tracked_number", "CallerCity"]')
    assert rules.extra == {
        "duration_seconds": "{duration_seconds}",
        "label": "{label}",
        "call_duration": "{duration_seconds}",
        "tracked_number": "{to}",
        "CallerCity": "{CallerCity}",
    }


@pytest.mark.parametrize("written", ["call_sid", "{call_sid}"])
def test_the_order_id_may_be_a_bare_field(written: str) -> None:
    assert parse(f'order_id = "{written}"').order_id == "{call_sid}"


# What is refused: the line, the reason, the remedy


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('min_duration_seconds = "ten"', 1, 'a whole number of seconds, 0 or more; you wrote "ten". Write e.g. min_dur'),
        ("\nmin_duration_seconds = true", 2, "you wrote true"),
        ("min_duration_seconds = -1", 1, "you wrote -1"),
        (f"min_duration_seconds = {MAX_SECONDS + 1}", 1, f"at most {MAX_SECONDS}"),
        ("min_duration_seconds = 1.0", 1, "you wrote 1.0"),
        ("max_duration_seconds = 0", 1, "1 or more; you wrote 0. Write e.g. max_duration_seconds = 3600."),
        ("action = 3", 1, "you wrote 3"),
        ('action = ""', 1, "1 to 200 characters"),
        ('action = "  "', 1, "1 to 200 characters"),
        (f'action = "{"a" * (MAX_TEXT + 1)}"', 1, "1 to 200 characters"),
        ('action = "a\\u0000b"', 1, "one line"),
        ("only_listed_numbers = 1", 1, "true or false"),
        ('only_listed_numbers = "true"', 1, "without quotes"),
        ("statuses = []", 1, 'Write e.g. statuses = ["completed"]'),
        ('statuses = "completed"', 1, 'Write e.g. statuses = ["completed"]'),
        ('statuses = [\n  "completed",\n  "ringing",\n]', 3, "only when it is over"),
        ('statuses = ["cancelled"]', 1, "canceled"),
        ("statuses = [[]]", 1, "an empty list is none of them"),
        ('directions = ["outbound-dial"]', 1, "part of the call that dialled it"),
        ('directions = ["unknown"]', 1, "Choose from inbound, outbound-api."),
        ('order_id = "{to}"', 1, "Rockerbox ignores the second"),
        ('order_id = "to"', 1, "must contain {call_sid}"),
        ('order_id = "order"', 1, "must contain {call_sid}"),
        ('order_id = "{{call_sid}}"', 1, "must contain {call_sid}"),
        ('order_id = "{CallSid}"', 1, "must contain {call_sid}"),
        ('order_id = "{callsid}"', 1, 'did you mean "call_sid"?'),
        ("order_id = 7", 1, "you wrote 7"),
        ('order_id = "{call_sid:>9}"', 1, "write a plain name between the braces"),
        ('order_id = "{call_sid.x}"', 1, "write a plain name between the braces"),
        ('order_id = "{call_sid} {"', 1, "write {{ for the character itself"),
        ('order_id = "{call_sid} }"', 1, "write }} for the character itself"),
        ('extra = "label"', 1, "a table or a list"),
        ('extra = [\n"label",\n"labell"]', 3, 'did you mean "label"?'),
        ('extra = ["Bad}{"]', 1, "is no field"),
        ("extra = [1]", 1, "write names in quotes"),
        ('extra = ["email"]', 1, 'e.g. "call_email"'),
        ("[extra]\na = 1\nb = nan", 3, "you wrote nan"),
        ("[extra]\nb = -inf", 2, "you wrote -inf"),
        ("[extra]\nb = 1e999", 2, "a number, true or false"),
        ("[extra]\nb = [1]", 2, "you wrote a list"),
        ("[extra.b]\nc = 1", 1, "you wrote a table"),
        ("[extra]\nb = 1979-05-27", 2, "you wrote 1979-05-27"),
        (f"[extra]\nb = {MAX_EXTRA_INT + 1}", 2, "put a longer one into quotes"),
        (f'[extra]\nb = "{"x" * (MAX_EXTRA_TEXT + 1)}"', 2, "at most 2000"),
        ('[extra]\nb = "\\u0000"', 2, "no control characters"),
        ('[extra]\nb = "{call_duration}"', 2, 'did you mean "duration_seconds"?'),
        ('[extra]\n"" = 1', 2, "1 to 200 characters"),
        ("[extra]\nonly_listed_numbers = true", 2, "move it above the first [line]"),
        ("min_duration = 3", 1, 'did you mean "min_duration_seconds"?'),
        ("Action = 'x'", 1, 'did you mean "action"?'),
        ("label = 'x'", 1, "below a line [[numbers]]"),
        ("nonsense = 1", 1, "Known: action,"),
        ("\n[numbers]\nnumber = '+14155550100'", 2, "[[numbers]] (two brackets)"),
        ("numbers = [1]", 1, "[[numbers]] (two brackets)"),
        ("\n[[numbers]]\nlabel = 'x'", 2, "it is missing"),
        ("[[numbers]]\nnumber = 4155550100", 2, "you wrote 4155550100"),
        ("[[numbers]]\nnumber = '555'", 2, "a phone number in quotes"),
        ("[[numbers]]\nnumber = '+14155550100'\nstatuses = []", 3, "for the whole file"),
        ("[[numbers]]\nnumber = '+14155550100'\nlable = 'x'", 3, 'did you mean "label"?'),
        ("[[numbers]]\nnumber = '+14155550100'\nlabel = 2", 3, "you wrote 2"),
        ("[[numbers]]\nnumber = '+14155550100'\naction = ' '", 3, "action must be"),
        ("[[numbers]]\nnumber = '+14155550100'\nrevenue = -1", 3, "revenue must be"),
        ("[[numbers]]\nnumber = '+14155550100'\n[numbers.extra]\na = 1\nemail = 'x'", 5, "Rockerbox's own"),
        ("[params]\nMenu = { at_least = nan }", 2, "at most 20 digits; you wrote NaN"),
        ("[params]\nMenu = { at_most = -inf }", 2, "at most 20 digits; you wrote -Infinity"),
        (f"[params]\nMenu = {{ at_least = 0x{'f' * 5000} }}", 2, "you wrote a very long number"),
        (f"[params]\nMenu = 0x{'f' * 5000}", 2, "a text in quotes, or a list of texts; you wrote a very long number"),
        ("[params]\nMenu = { at_least = 9, at_most = 1 }", 2, "no number is at least 9 and at most 1; change one"),
        ("[params]\nMenu = { at_least = 0.1234567890123456789012345678901 }", 2, "at most 20 digits"),
        ("[[rule]]\nname = 'A'\nskip = 'aa'\n[[rule]]\nname = ' A'\nskip = 'bb'", 5, 'called "A" in line 2, too'),
        ("[groups]\nTV = ['+14155550101']\n[[numbers]]\nnumber = '+14155550100'\nlabel = ' TV'", 2, "rename the group"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_its_line_and_its_remedy(text: str, line: int, words: str) -> None:
    problem = problem_of(text)
    assert words in problem.message
    assert problem.line == line


@pytest.mark.parametrize("name", sorted(FIXED))
def test_an_extra_field_cannot_take_the_name_of_a_field_of_rockerboxs_own(name: str) -> None:
    assert f'"call_{name}"' in problem_of(f"[extra]\n{name} = 1").message


def test_all_mistakes_are_reported_together_in_the_order_of_their_lines() -> None:
    text = 'min_duration_seconds = "ten"\naction = 1\n[[numbers]]\nnumber = "x"\n[[numbers]]\nnumber = "y"'
    with pytest.raises(RulesError) as caught:
        parse(text, region="US", file_name="my.toml")
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["my.toml:1", "my.toml:2", "my.toml:4", "my.toml:6"]
    assert lines[0] == (
        "my.toml:1: min_duration_seconds must be a whole number of seconds, 0 or more; "
        'you wrote "ten". Write e.g. min_duration_seconds = 30.'
    )


MISTAKES = {  # what is wrong: what stands above the first block, a block, and the words that say it
    "action": ("action = 7", "", "action must be one line"),
    "seconds": ("min_duration_seconds = -1", "", "min_duration_seconds must be a whole number"),
    "unknown key": ("nonsense = 1", "", '"nonsense" is no setting'),
    "no zone": ('hours = ["09:00-17:00"]', "", "hours needs the time zone"),
    "no zone in a rule": ("", '[[rule]]\nname = "W"\nwhen.days = ["mon"]\nconvert = true', "days needs the time zone"),
    "no name": ("", "[[rule]]\nconvert = true", "a rule needs a name"),
    "no result": ("", '[[rule]]\nname = "N"', '"N" has neither'),
    "two results": ("", '[[rule]]\nname = "B"\nskip = "bb"\nconvert = true', '"B" has both'),
    "reason": ("", '[[rule]]\nname = "R"\nskip = "x"', "skip must be a reason"),
    "when": ("", '[[rule]]\nname = "M"\nwhen.min_talk_seconds = "x"\nskip = "mm"', "min_talk_seconds must be"),
    "key of a rule": ("", '[[rule]]\nname = "K"\nskip = "kk"\nwho = 1', '"who" is no setting'),
    "same name": ("", '[[rule]]\nname = "S"\nskip = "ss"\n[[rule]]\nname = "S"\nskip = "ss"', 'is called "S"'),
    "no number": ("", '[[numbers]]\nlabel = "L"', "it is missing"),
    "number": ("", '[[numbers]]\nnumber = "5"', 'you wrote "5"'),
    "twice": ("", '[[numbers]]\nnumber = "+14155550100"\n' * 2, "is there twice"),
    "group": ("", '[groups]\nG = ["nobody"]', '"nobody" is no phone number'),
}  # fmt: skip


@pytest.mark.parametrize("first", MISTAKES)
def test_each_of_two_mistakes_is_reported_at_once_and_once_whatever_they_are(first: str) -> None:
    for second in list(MISTAKES)[list(MISTAKES).index(first) + 1 :]:
        (top, block, words), (other_top, other_block, other_words) = MISTAKES[first], MISTAKES[second]
        problems = problems_of("\n".join((top, other_top, block, other_block)))
        said = [[each in problem.message for problem in problems].count(True) for each in (words, other_words)]
        assert (said, len(problems)) == ([1, 1], 2), (second, problems)


def test_every_mistake_of_one_rule_is_reported_at_once() -> None:
    rule = '[[rule]]\nwhen.hours = ["9"]\nwhen.min_talk_seconds = "x"\nskip = "x"\nconvert = 7\nwhen_unknown = "x"'
    lines = [(1, "a rule needs a name"), (1, "this one has both"), (2, "hours must be"), (2, "hours needs")]
    lines += [(3, "min_talk_seconds must be"), (4, "skip must be"), (5, "convert must be"), (6, "when_unknown must be")]
    problems = problems_of(rule)
    assert len(problems) == len(lines)
    assert all(any(each.line == line and words in each.message for each in problems) for line, words in lines)


def test_a_number_that_is_there_twice_is_reported_with_both_lines_however_it_is_spelled() -> None:
    block = '[[numbers]]\nlabel = "a"\nnumber = "{}"\n'
    problem = problem_of(block.format("+14155550100") + block.format("+14155550101") + block.format("(415) 555-0100"))
    assert problem.line == 9
    assert "+14155550100 is there twice, in line 3 and in line 9" in problem.message


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        ("\naction = phone_call", 2, "Put words into quotes"),
        ("only_listed_numbers = True", 1, "write true and false small"),
        ('action = "a\nb"', 1, "ends in the line in which it began"),
        ('\nstatuses = [\n"completed"\n\n', 3, "A closing bracket is missing"),
        ("action = 'a'\naction = 'b'", 2, "keep one of them"),
        ("[extra]\na = 1\n[extra]\nb = 1", 3, "keep one of them"),
        ("[[numbers]]\n[numbers]\n", 2, "two brackets"),
        ("action", 1, "key = value"),
        ("revenue = 10 dollars", 1, "key = value"),
        ('action = """a', 1, "closing quotes"),
        ('action = "C:\\dir"', 1, "for a backslash"),
        ("\nmin_duration_seconds = " + "9" * 5000, 2, "too long"),
        ("\nrevenue = 1e99999999999999999999999", 2, "too long"),
        ('\naction = "\ud800"', 2, "UTF-8"),
    ],
)
def test_what_is_not_toml_is_answered_with_its_line_and_a_remedy(text: str, line: int, remedy: str) -> None:
    problem = problem_of(text)
    assert remedy in problem.message
    assert problem.line == line


@pytest.mark.parametrize("depth", [100, 5000])
@pytest.mark.parametrize("shape", ["a = {open}{close}", "extra{dots} = 1", "extra = {tables}1{ends}"])
def test_however_deeply_nested_a_file_is_only_said_to_be_wrong(depth: int, shape: str) -> None:
    text = shape.format(
        open="[" * depth, close="]" * depth, dots=".a" * depth, tables="{a=" * depth, ends="}" * depth
    )  # fmt: skip
    assert problems_of(text)


def test_a_value_never_breaks_a_message_into_two_lines_nor_sends_codes_to_the_terminal() -> None:
    with pytest.raises(RulesError) as caught:
        parse('action = "\\n\\u001b[31m\\u009b\\u2028"\n[extra]\n"a\\nb" = "{\\n}"')
    assert len(str(caught.value).splitlines()) == len(caught.value.problems) == 3
    assert all(char.isprintable() or char == "\n" for char in str(caught.value))


# Any text whatever

_PIECES = st.sampled_from(
    ["[[numbers]]", "[extra]", "[numbers]", "number", "extra", "action", "revenue", "statuses", "order_id", "=", "\n",
     " ", '"', "'", '"""', "'''", "[", "]", "{", "}", ",", ".", "#", "\\", "1", "-1", "nan", "inf", "1e400", "true",
     '"+14155550100"', '"completed"', '"{call_sid}"', "{to}", "1979-05-27", "\r\n", "\r", "\ufeff", "\x85", "é", "\ud800"]
)  # fmt: skip


@given(st.text() | st.lists(_PIECES, max_size=40).map("".join) | st.lists(_PIECES, max_size=40).map(" ".join))
@settings(max_examples=500)
@example("\ufeff\ufeff")
@example("numbers = [{number = '+14155550100'}, {number = '+14155550100'}]")
def test_any_text_is_rules_or_a_rules_error_whose_lines_are_in_the_text(text: str) -> None:
    try:
        rules = parse(text, region="US")
    except RulesError as error:
        assert error.problems
        assert all(0 <= problem.line <= text.count("\n") + 1 for problem in error.problems)
        assert len(str(error).splitlines()) == len(error.problems)
    else:
        assert in_english(rules)


_TOML_VALUES = st.recursive(
    st.one_of(
        st.integers().map(str),
        st.floats().map(repr),
        st.booleans().map(lambda yes: str(yes).lower()),
        st.text(st.characters(codec="ascii", exclude_characters="'", exclude_categories=["Cc"])).map(
            lambda t: f"'{t}'"
        ),
        st.sampled_from(['"completed"', '"{call_sid}"', '"+14155550100"', "1979-05-27T07:32:00Z", "07:32:00"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]")
        | st.lists(inner, max_size=2).map(lambda vs: f"{{ {', '.join(f'k{n} = {v}' for n, v in enumerate(vs))} }}")
    ),
    max_leaves=4,
)
_TOP_KEYS = ["action", "min_duration_seconds", "max_duration_seconds", "statuses", "directions", "order_id", "revenue", "extra",
             "only_listed_numbers", "numbers", "unknown"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(_TOP_KEYS), _TOML_VALUES), st.dictionaries(
    st.sampled_from(["number", "label", "action", "revenue", "extra"]), _TOML_VALUES))  # fmt: skip
def test_every_key_of_any_type_is_taken_or_refused_in_the_line_where_it_stands(
    top: dict[str, str], of_number: dict[str, str]
) -> None:
    if of_number:
        top = {key: value for key, value in top.items() if key != "numbers"}
    lines = [f"{key} = {value}" for key, value in top.items()]
    lines += ["[[numbers]]", *(f"{key} = {value}" for key, value in of_number.items())] if of_number else []
    try:
        parse("\n".join(lines), region="US")
    except RulesError as error:
        for problem in error.problems:
            key = lines[problem.line - 1].partition(" ")[0]
            assert key in problem.message or key in ("numbers", "[[numbers]]")


# Lines

_NOISE = ["# [extra] = '''", '# """', "", "   ", "\t# action = 9"]
_STATEMENTS = [
    "k{i} = @",
    "  'k{i}'  =  @  # k = 0, ]}}",
    '"k {i}" . a."b\\u0041=" = @',
    'k{i}=[@,@,\n\n# ] }} "\n  @ ,]',
    "k{i} = {{ a = @, b.c = {{ 'd]=' = @ }}, \"e}}\" = [\n @, [\n@]] }}",
    "k{i} = [\n  {{ a = @ }}, # }}\n\n  {{ a = @, b = '#' }},\n]",
    'k{i}.s = """\n[[n]]\nk = 9 # \\""" \'\'\' "" \\\\""""\nj{i} = @',
    "k{i}.s = '''\n[extra] \"\"\"\nk = 9 \\''''\nj{i} = @",
    'k{i} = {{ s = "a # \\" [", t = \'"""\', a = @ }}',
    "k{i}.day = 1979-05-27 07:32:00Z # 0\nj{i} = @",
    "[t{i}] # ]",
    "[ t{i} . 'a.b]' ]\nk{i} = @",
    "[[n]]",
    "[[ n ]]\n[n.s]\nk{i} = @\n[[n.d]]\nk = @\n[[n.d]]\nk = @\n[n.d.e]\nk = @",
]


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Valid TOML in which every integer but 0 and 9 is the number of its own line."""
    chosen = draw(st.lists(st.sampled_from(_STATEMENTS) | st.sampled_from(_NOISE), max_size=12))
    parts = [part if part in _NOISE else part.format(i=index) for index, part in enumerate(chosen)]
    return "\n".join(
        line.replace("@", str(number + 1000)) for number, line in enumerate("\n".join(parts).split("\n"), 1)
    )


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from leaves(one, (*path, index))
    elif isinstance(value, int):
        yield path, value - 1000


@given(documents(), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=400)
def test_every_key_and_every_member_of_a_list_is_found_in_its_line(text: str, newline: str) -> None:
    lines = _Lines(text.replace("\n", newline))
    for path, line in leaves(tomllib.loads(text)):
        assert lines.of(path) == line, path


@given(documents(), st.sampled_from(["", "\ufeff"]))
def test_a_broken_key_is_reported_in_its_line_whatever_stands_before_it(text: str, mark: str) -> None:
    block = '[[numbers]]\nnumber = "+14155550100"\nlabel = 7'
    wrong = problems_of(f"{mark}{text}\n{block}")
    assert any(p.line == text.count("\n") + 4 and p.message.startswith("label must") for p in wrong)


# Versions


def test_comments_the_order_of_keys_and_the_spelling_play_no_part_in_the_version() -> None:
    one = 'action = "a"\nrevenue = 27.5\n[extra]\nx = 1\ny = "2"\n[[numbers]]\nnumber = "+14155550100"\nlabel = "TV"'
    same = """
        # a comment
        extra.y = '2'
        extra.x = 0x1
        revenue = "27.50"
        statuses = ["completed"]
        numbers = [{ label = "TV", number = "(415) 555-0100" }]
        action = 'a'
    """
    assert parse(one).version == parse(same).version
    assert re.fullmatch("[0-9a-f]{12}", parse(one).version)


def test_the_version_is_the_same_in_every_process_and_release() -> None:
    assert Rules().version == "304f38966605"
    assert parse(EVERYTHING).version == "24dbc0f21d27"


EVERYTHING = """
action = "call"
min_duration_seconds = 30
statuses = ["completed", "no-answer"]
directions = ["inbound", "outbound-api"]
order_id = "phone-{call_sid}"
revenue = 10
only_listed_numbers = true
extra = { a = "{to}", n = 2, f = 0.5, yes = true }
[[numbers]]
number = "+14155550100"
label = "TV"
action = "tv_call"
revenue = "27.50"
extra = { channel = "tv" }
[[numbers]]
number = "+14155550101"
"""
"""All that the first rules knew; the version of such a file stands in the decisions of old ledgers."""


@pytest.mark.parametrize(
    "text",
    [
        "action = 'b'",
        "min_duration_seconds = 1",
        "max_duration_seconds = 1",
        "statuses = ['completed', 'busy']",
        "directions = ['outbound-api']",
        "order_id = 'x{call_sid}'",
        "revenue = 0",
        "extra = { a = 1 }",
        "extra = { a = '1' }",
        "extra = { a = true }",
        "only_listed_numbers = true",
        "[[numbers]]\nnumber = '+14155550100'",
        "[[numbers]]\nnumber = '+14155550100'\nlabel = 'a'",
        "[[numbers]]\nnumber = '+14155550100'\naction = 'a'",
        "[[numbers]]\nnumber = '+14155550100'\nrevenue = 1",
        "[[numbers]]\nnumber = '+14155550100'\nextra = { a = 1 }",
    ],
)
def test_whatever_changes_what_is_sent_changes_the_version(text: str) -> None:
    others = {
        Rules().version,
        parse("extra = { a = 2 }").version,
        parse("[[numbers]]\nnumber = '+14155550101'").version,
    }
    assert parse(text).version not in others


def test_a_number_may_have_a_value_of_its_own_for_each_result_that_says_so() -> None:
    own = {field.name for field in fields(Number)} - {"number", "label"}
    assert own == {key for key, entry in RESULTS.items() if entry.of_number}


def test_rules_that_are_changed_in_code_have_a_version_of_their_own() -> None:
    assert replace(Rules(), action="b").version == parse("action = 'b'").version


# Templates


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{call_sid}", "CA1"),
        ("a-{call_sid}-{label}-b", "a-CA1--b"),
        ("{{call_sid}}", "{call_sid}"),
        ("{{{call_sid}}}", "{CA1}"),
        ("{SipHeader_X-Branch}", "west"),
        ("{to}", "{call_sid}"),
        ("", ""),
    ],
)
def test_a_template_takes_fields_by_name_once_and_what_is_missing_is_empty(template: str, rendered: str) -> None:
    assert render(template, {"call_sid": "CA1", "to": "{call_sid}", "SipHeader_X-Branch": "west"}) == rendered


@given(st.text(), st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text()))
def test_any_text_renders_and_comes_back_whole_when_its_braces_are_doubled(text: str, fields: dict[str, str]) -> None:
    render(text, fields)
    assert render(text.replace("{", "{{").replace("}", "}}"), fields) == text


def test_an_extra_field_that_comes_out_empty_is_left_out_and_others_keep_their_type() -> None:
    extra: dict[str, ExtraValue] = {"a": "{label}", "b": "{to}", "zero": 0, "no": False, "half": 0.5}
    assert render_extra(extra, {"to": "+1"}) == {"b": "+1", "zero": 0, "no": False, "half": 0.5}


def test_the_friendlier_names_stand_for_fields_that_there_are() -> None:
    assert set(ALIASES.values()) <= set(FIELDS)
    assert not set(ALIASES) & set(FIELDS)


# English


def test_the_rules_are_read_back_in_english() -> None:
    text = """
        min_duration_seconds = 30
        max_duration_seconds = 3600
        statuses = ["completed", "busy"]
        revenue = 10
        order_id = "phone-{call_sid}"
        extra = { channel = "phone", seconds = "{duration_seconds}", city = "{CallerCity}", v = 2, ok = true }
        only_listed_numbers = true
        [[numbers]]
        number = "+14155550100"
        label = "TV"
        action = "tv_call"
        revenue = 27.5
        [[numbers]]
        number = "+14155550101"
    """
    assert in_english(parse(text)).splitlines() == [
        "A call counts when it is inbound, ended as busy or completed, lasted at least 30 s, "
        "lasted at most 3600 s, has a caller who did not withhold the number, and has a phone number at the other end.",
        'It is sent as "phone_call", worth 10.00 dollars; its order id is "phone-<the CallSid>", with channel = "phone", '
        "seconds = the call's length in seconds, city = Twilio's CallerCity, v = 2, ok = true.",
        "Only calls of these numbers count:",
        '  +14155550100 (TV), sent as "tv_call", worth 27.50 dollars.',
        "  +14155550101, sent as the others are.",
    ]


def test_rules_by_which_nothing_can_count_say_so() -> None:
    assert "No call counts at all" in in_english(parse("only_listed_numbers = true"))
    assert "Calls of every number count." in in_english(Rules())


# The example that ships


def example_lines() -> list[str]:
    return EXAMPLE.read_text(encoding="utf-8").splitlines()


def is_setting(line: str) -> bool:
    """In force, or switched off: `#` and no space."""
    return bool(line) and re.match(r"#(\s|$)", line) is None


def test_the_example_is_valid_as_it_ships() -> None:
    rules = parse(EXAMPLE.read_text(encoding="utf-8"), region="US")
    assert len(rules.numbers) == 3
    assert rules.numbers["+14155550100"].revenue == Decimal("27.50")


def test_the_example_is_valid_with_every_setting_switched_on() -> None:
    text = "\n".join(line.removeprefix("#") if is_setting(line) else line for line in example_lines())
    rules = parse(text, region="US")
    assert rules.only_listed_numbers
    assert rules.revenue == Decimal("10.00")
    assert rules.numbers["+442079460958"].extra == {"market": "uk"}


def test_every_other_way_that_the_example_shows_is_valid() -> None:
    others = [line.removeprefix("# or: ") for line in example_lines() if line.startswith("# or: ")]
    assert others
    for other in others:
        assert parse(other, region="US")


def test_the_example_explains_every_setting_and_names_every_field() -> None:
    lines = example_lines()
    for before, line in pairwise(lines):
        if is_setting(line) and not line.startswith("["):
            assert before.startswith("# "), f"nothing explains {line!r}"
    words = set(re.findall(r"[a-z_]+", "\n".join(line for line in lines if line.startswith("#"))))
    assert set(FIELDS) | set(ALIASES) <= words
    assert {"completed", "busy", "failed", "no-answer", "canceled"} <= set(re.findall(r"[a-z-]+", "\n".join(lines)))
