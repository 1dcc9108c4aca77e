"""Phone numbers: one spelling for each, nobody for those who withhold it, and none of them whole in a log."""

from __future__ import annotations

import string

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offhook.pipeline.phone import (
    CallerKind,
    _to_e164_by_library,
    area_code,
    caller,
    country_of,
    is_region,
    mask,
    mask_numbers_in,
    spellings,
    to_e164,
)

pytestmark = pytest.mark.unit

NANP_REGIONS = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+14158675309", "US", "+14158675309"),
        ("(415) 867-5309", "US", "+14158675309"),
        ("415.867.5309", "US", "+14158675309"),
        ("1-415-867-5309", "US", "+14158675309"),
        ("4158675309", "CA", "+14158675309"),
        ("(+1) 415 867 5309", "GB", "+14158675309"),
        ("+1\u00a0415\u2013867\u20115309", "US", "+14158675309"),
        ("\u202a+1 (415)\u202f867-5309\u202c", "US", "+14158675309"),
        ("＋１（４１５）８６７－５３０９", "US", "+14158675309"),
        ("(415) 867-5309 ext. 12", "US", "+14158675309"),
        ("+1 415 867 5309 x12", "US", "+14158675309"),
        ("tel:+1-415-867-5309", "US", "+14158675309"),
        ("TEL:+14158675309;ext=4", "US", "+14158675309"),
        ("4158675309.0", "US", "+14158675309"),
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("+44 (0)20 7183 8750", "US", "+442071838750"),
        ("020 7183 8750", "GB", "+442071838750"),
        ("020 7183 8750", "gb", "+442071838750"),
        ("0044 20 7183 8750", "GB", "+442071838750"),
        ("0044 20 7183 8750", "US", "+442071838750"),
        ("011 44 20 7183 8750", "US", "+442071838750"),
        ("001 415 867 5309", "GB", "+14158675309"),
        ("+39 06 1234567", "US", "+39061234567"),
        ("٠٢٠٧١٨٣٨٧٥٠", "GB", "+442071838750"),
        ("+14155550100", "US", "+14155550100"),
        ("+5215555550142", "US", "+525555550142"),
        ("whatsapp:+5215555550142", "US", "+525555550142"),
        ("044 55 5555 0142", "MX", "+525555550142"),
        ("045 55 5555 0142", "MX", "+525555550142"),
        ("01 55 5555 0142", "MX", "+525555550142"),
        ("1 55 5555 0142", "MX", "+525555550142"),
        ("+52 1 55 5555 0142", "", "+525555550142"),
        ("+5491123456789", "US", "+541123456789"),
        ("011 15-2345-6789", "AR", "+541123456789"),
        ("+54 9 11 2345-6789", "", "+541123456789"),
        ("+551187654321", "US", "+5511987654321"),
        ("(11) 98765-4321", "BR", "+5511987654321"),
        ("(11) 8765-4321", "BR", "+5511987654321"),
        ("(11) 3456-7890", "BR", "+551134567890"),
    ],
)
def test_a_usual_spelling_becomes_e164(text: str, region: str, expected: str) -> None:
    assert to_e164(text, region) == expected


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("", "US"),
        ("abc", "US"),
        ("12345", "US"),
        ("867-5309", "US"),
        ("+1 867-5309", "US"),
        ("4158675309", ""),
        ("4158675309", "XX"),
        ("415 867 5309 / 415 867 5310", "US"),
        ("4.158675309E+09", "US"),
        ("4,93012E+11", "DE"),
        ("client:4158675309", "US"),
        ("sip:+14158675309@example.com", "US"),
        ("+14158675309@example.com", "US"),
        ("CA14158675309", "US"),
        ("030 123456 abc", "DE"),
        ("+1" + "4" * 300, "US"),
        ("+10000000000", "US"),
        ("0000000000", "US"),
        ("+11111111111", "DE"),
        ("222-222-2222", "US"),
        ("+1 115 555 0142", "US"),
        ("015 555 0142", "US"),
        ("(415) 155-0142", "CA"),
        ("415 055 0142", "US"),
        ("+0000000000", "US"),
        ("+99999999999", "US"),
    ],
)
def test_what_is_no_certain_number_is_none(text: str, region: str) -> None:
    assert to_e164(text, region) is None


COUNTRY_CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
e164_like = st.builds("+{}{}".format, st.sampled_from(COUNTRY_CODES), st.text("0123456789", min_size=4, max_size=13))


@settings(max_examples=1000)
@given(text=e164_like, region=st.sampled_from(["US", "GB", ""]))
def test_plain_e164_of_any_country_is_what_the_slow_way_says(text: str, region: str) -> None:
    assert to_e164(text, region) == _to_e164_by_library(text, region)


GAPS = ["", "", "", " ", "-", ".", "(", ")", "\u00a0", "\u2011", "\u2212"]
nanp_spellings = st.builds(
    lambda prefix, digits, after: prefix + "".join(gap + digit for gap, digit in digits) + after,
    st.sampled_from(["", "1", "+1", "+", "+1 ", "(+1)", "1-", " ", "00", "011", "+11", "0"]),
    st.lists(st.tuples(st.sampled_from(GAPS), st.sampled_from("01234567")), min_size=9, max_size=11),
    st.sampled_from(["", " ", ")", "."]),
)
ten_digits = st.from_regex(r"\A(\+?1[ .-]?)?\(?[0-9]{3}\)?[ .\-\u00a0\u2013]?[0-9]{3}[ .\-]?[0-9]{4} ?\Z")


@example(text="415555010.0", region="US")
@example(text=")2002000000", region="AG")
@given(text=nanp_spellings | ten_digits, region=st.sampled_from([*NANP_REGIONS, "GB", "DE", "", "XX"]))
def test_the_fast_way_says_what_the_slow_way_says(text: str, region: str) -> None:
    assert to_e164(text, region) == _to_e164_by_library(text, region)


ANY_TEXT = st.text(max_size=80) | st.text("+0123456789 ()-.xX:@/,;#", max_size=40)


@given(text=ANY_TEXT, region=st.sampled_from(["US", "GB", "", "XX"]))
def test_reading_is_total_and_gives_e164_or_nothing(text: str, region: str) -> None:
    found = caller(text, region)
    assert (found.e164 is not None) == (found.kind is CallerKind.PHONE)
    assert found.raw == text
    if found.e164 is not None:
        assert found.e164[0] == "+" and found.e164[1:].isdecimal() and found.e164.isascii()
        assert 7 <= len(found.e164) - 1 <= 15
        assert to_e164(found.e164, "XX") == found.e164


WITHHELD_WORDS = (
    "anonymous Anonymous RESTRICTED unavailable Blocked UNKNOWN private +anonymous client:Anonymous client:"
)
WITHHELD_NUMBERS = ["+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253", " 266696687", "+86 282452253"]
# The same with the country code that Twilio puts before it, and as a CRM may have kept them
WITHHELD_NUMBERS += ["+17378742833", "+1266696687", "+12562533", "+18656696", "+186282452253", "(737) 874-2833"]
WITHHELD_NUMBERS += [
    "+442562533",
    "whatsapp:+17378742833",
    "sip:+17378742833@example.com",
    "tel:+17378742833",
    "17378742833",
]


@pytest.mark.parametrize(
    "text", ["", " ", *WITHHELD_WORDS.split(), *WITHHELD_NUMBERS, "sip:anonymous@anonymous.invalid"]
)
def test_a_withheld_caller_is_nobody(text: str) -> None:
    assert (caller(text, "US").kind, caller(text, "US").e164) == (CallerKind.WITHHELD, None)


@pytest.mark.parametrize(
    ("text", "kind", "e164"),
    [
        ("+14158675309", CallerKind.PHONE, "+14158675309"),
        ("whatsapp:+14158675309", CallerKind.PHONE, "+14158675309"),
        ("4158675309", CallerKind.PHONE, "+14158675309"),
        ("client:alice", CallerKind.CLIENT, None),
        ("client:+14158675309", CallerKind.CLIENT, None),
        ("sip:+14158675309@example.com", CallerKind.SIP, None),
        ("SIPS:bob@example.com", CallerKind.SIP, None),
        ("sim:DE0123456789abcdef0123456789abcdef", CallerKind.SIM, None),
        ("89203", CallerKind.SHORT_CODE, None),
        ("+89203", CallerKind.NUMBER, None),
        ("+999123456789", CallerKind.NUMBER, None),
        ("whatsapp:+999 123-456-789", CallerKind.NUMBER, None),
        ("+1415555", CallerKind.NUMBER, None),
        ("+10000000000", CallerKind.UNREADABLE, None),
        ("+447378742833", CallerKind.PHONE, "+447378742833"),
        ("+61266696687", CallerKind.PHONE, "+61266696687"),
        ("hello", CallerKind.UNREADABLE, None),
        ("bob@example.com", CallerKind.UNREADABLE, None),
    ],
)
def test_each_kind_of_caller_is_distinguished_from_the_others(text: str, kind: CallerKind, e164: str | None) -> None:
    assert (caller(text, "US").kind, caller(text, "US").e164) == (kind, e164)


@pytest.mark.parametrize("region", ["US", "GB", "DE", "IS", "AU"])
@pytest.mark.parametrize("word", ["7378742833", "737 874 2833", "266696687", "2562533", "8656696", "86282452253"])
def test_a_keypad_word_without_its_plus_is_nobody_wherever_it_could_be_a_number(word: str, region: str) -> None:
    """7378742833 is RESTRICTED, though the same digits behind +44 are a mobile: better nobody is credited than a stranger."""
    assert (caller(word, region).kind, caller(word, region).e164) == (CallerKind.WITHHELD, None)


def test_whoever_has_such_a_number_is_somebody_with_the_country_code_or_the_zero_before_it() -> None:
    assert caller("+447378742833", "GB").e164 == caller("07378742833", "GB").e164 == "+447378742833"


def test_a_number_that_nobody_can_read_today_is_known_by_its_digits() -> None:
    assert caller("+999 123-456", "US").number == "+999123456"
    assert caller("+14155550100", "US").number == "+14155550100"
    assert caller("client:ann", "US").number is None


@pytest.mark.parametrize(
    ("text", "e164"),
    [
        ("sip:+14155550142@example.sip.twilio.com", "+14155550142"),
        ("SIPS:+14155550142@example.com;transport=tls", "+14155550142"),
        ("sip:%2B14155550142@example.com:5061", "+14155550142"),
        ("sip:+1-415-555-0142;ext=3@example.com", "+14155550142"),
        ("sip:+5215555550142@example.com", "+525555550142"),
        ("sip:4155550142@example.com", None),
        ("sip:ann@example.com", None),
        ("sip:+14155550142", None),
        ("client:+14155550142", None),
        ("sip:+10000000000@example.com", None),
    ],
)
def test_the_user_of_a_sip_address_is_a_number_where_it_is_e164_and_asked_for(text: str, e164: str | None) -> None:
    assert caller(text, "US", sip_users=True).e164 == e164
    assert caller(text, "US").e164 is None


TWICE = [("+525555550142", "+5215555550142"), ("+541123456789", "+5491123456789"), ("+5511987654321", "+551187654321")]


@pytest.mark.parametrize("both", TWICE)
def test_a_line_with_two_spellings_is_found_by_either(both: tuple[str, str]) -> None:
    for spelled in both:
        assert spellings(spelled) == both
        assert to_e164(spelled, "US") == both[0]


def test_a_line_with_one_spelling_has_no_other() -> None:
    for one in ("+14155550142", "+551134567890", "+5255", "+546123456789", "+999123"):
        assert spellings(one) == (one,)


latin = st.builds("+{}{}".format, st.sampled_from(["52", "54", "55"]), st.text("0123456789", min_size=9, max_size=13))


@given(text=latin)
def test_spellings_meet_whichever_is_asked_by(text: str) -> None:
    found = to_e164(text, "US")
    if found is not None:
        assert spellings(found)[0] == found
        assert {to_e164(one, "US") for one in spellings(found)} == {found}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+15551234567", "+1555***4567"),
        ("+442071838750", "+4420***8750"),
        ("(415) 867-5309", "415***5309"),
        ("+2562533", "+25***33"),
        ("89203", "***03"),
        ("anonymous", "anonymous"),
        ("", ""),
        ("client:alice", "client:al***"),
        ("whatsapp:+15551234567", "whatsapp:+1555***4567"),
        ("sip:+15551234567@example.com", "sip:+1555***4567"),
        ("sip:bob@example.com", "sip:bo***"),
    ],
)
def test_a_masked_address_shows_its_shape_and_not_its_owner(text: str, masked: str) -> None:
    assert mask(text) == masked


@given(digits=st.text(string.digits, min_size=7, max_size=15), prefix=st.sampled_from(["+", "whatsapp:+", "", "tel:"]))
def test_a_mask_hides_three_digits_or_more(digits: str, prefix: str) -> None:
    shown = sum(char.isdigit() for char in mask(prefix + digits))
    assert len(digits) - shown >= 3


SIDS = "CA12345678901234567890123456789012 AC00000000000000000000000000000001"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("/x?From=%2B15551234567&To=%2b442071838750", "/x?From=%2B1555***4567&To=%2b4420***8750"),
        ("From=whatsapp%3A%2B15551234567", "From=whatsapp%3A%2B1555***4567"),
        ("From=%252B15551234567", "From=%252B1555***4567"),
        ("From=5551234567&x=1", "From=555***4567&x=1"),
        ("call from +15551234567, to tel:5551234567", "call from +1555***4567, to tel:555***4567"),
        ("sip:+15551234567@example.com sip:15551234567@x", "sip:+1555***4567@example.com sip:1555***4567@x"),
        ('{"From": "\\u002b15551234567"}', '{"From": "\\u002b1555***4567"}'),
        (f"/twilio/status?CallSid={SIDS}", f"/twilio/status?CallSid={SIDS}"),
        ("2026-11-24T01:00:00+0000 1764000000123", "2026-11-24T01:00:00+0000 1764000000123"),
    ],
)
def test_numbers_within_a_text_are_masked_and_sids_and_times_are_not(text: str, masked: str) -> None:
    assert mask_numbers_in(text) == masked


def test_countries_are_two_capital_letters_that_phonenumbers_knows() -> None:
    assert is_region("US") and is_region("GB")
    assert not any(is_region(code) for code in ("", "us", "XX", "USA", "001", "ZZ"))


@given(st.from_regex(r"\+1(246|[2-9][0-9]{2})[2-9][0-9]{6}", fullmatch=True))
def test_of_a_thousand_american_lines_one_says_where_all_are_from(e164: str) -> None:
    number = phonenumbers.parse(e164)
    length = phonenumbers.length_of_geographical_area_code(number)
    assert country_of(e164) == phonenumbers.region_code_for_number(number)
    assert area_code(e164) == (phonenumbers.national_significant_number(number)[:length] or None)
