"""The exports of usual shops, CRMs and address books, by the names in their header. Reads no file.

Each is recognised by names that nobody else writes together; whatever is not in this table is asked for, not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Export:
    """One program's layout. `signature` are names that are all there; of `phones` every one that is there is taken, of
    `emails` and `ids` the first. `ignored` are no attributes of a customer. Of a list that is `to_fill_in` a row without a
    customer is one that nobody has filled in.
    """

    program: str
    signature: tuple[str, ...]
    phones: tuple[str, ...]
    emails: tuple[str, ...]
    ids: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    to_fill_in: bool = False


class Recognised(NamedTuple):
    """Whose export it is, and which columns are what, by the file's own names; "" for what is not there."""

    program: str
    phones: tuple[str, ...]
    email: str
    customer_id: str
    ignored: tuple[str, ...]
    to_fill_in: bool


def _numbered(name: str) -> tuple[str, ...]:
    return tuple(name.format(number) for number in range(1, 10))


EXPORTS = (
    Export("flask unknown", ("phone", "email", "calls", "oldest_at", "latest_at"), ("phone",), ("email",), ("customer_id",),
           ("calls", "oldest_at", "latest_at"), to_fill_in=True),
    # https://help.shopify.com/en/manual/customers/import-export-customers
    Export(
        "Shopify",
        ("Accepts Email Marketing", "Total Spent"),
        ("Phone", "Default Address Phone"),
        ("Email",),
        ("Customer ID",),
    ),
    # https://woocommerce.com/document/ordercustomer-csv-export/
    Export(
        "WooCommerce",
        ("billing_phone", "billing_email"),
        ("billing_phone", "shipping_phone"),
        ("billing_email", "email", "user_email"),
        ("customer_id", "user_id", "ID"),
    ),
    # https://experienceleague.adobe.com/en/docs/commerce-admin/customers/customer-accounts/manage/customers-all
    Export("Magento", ("Customer Since", "Group", "ID"), ("Phone",), ("Email",), ("ID",)),
    # https://docs.stripe.com/data/export
    Export("Stripe", ("id", "Created (UTC)", "Delinquent"), ("Phone", "Shipping Phone"), ("Email",), ("id",)),
    # https://help.zoho.com/portal/en/kb/crm/data-administration/export-data
    Export("Zoho", ("Record Id", "Contact Owner", "Mobile"), ("Phone", "Mobile", "Home Phone", "Other Phone"),
           ("Email",), ("Record Id",)),
    # https://knowledge.hubspot.com/import-and-export/export-records
    Export(
        "HubSpot",
        ("Record ID", "Phone Number"),
        ("Phone Number", "Mobile Phone Number", "WhatsApp Phone Number"),
        ("Email",),
        ("Record ID",),
    ),
    # https://help.salesforce.com/s/articleView?id=sf.exporting_data.htm
    Export("Salesforce", ("Contact ID", "Phone", "Mobile"),
           ("Phone", "Mobile", "Mobile Phone", "Home Phone", "Other Phone", "Asst. Phone"), ("Email",), ("Contact ID",)),
    Export("Salesforce", ("Lead ID", "Phone", "Lead Source"), ("Phone", "Mobile"), ("Email",), ("Lead ID",)),
    Export("Salesforce", ("Id", "MobilePhone", "IsDeleted"),
           ("Phone", "MobilePhone", "HomePhone", "OtherPhone"), ("Email",), ("Id",)),
    # https://support.pipedrive.com/en/article/exporting-data-from-pipedrive
    Export(
        "Pipedrive",
        ("Person - ID",),
        tuple(f"Person - Phone{kind}" for kind in ("", " - Work", " - Home", " - Mobile", " - Other")),
        tuple(f"Person - Email{kind}" for kind in ("", " - Work", " - Home", " - Other")),
        ("Person - ID",),
    ),
    # https://mailchimp.com/help/view-export-contacts/
    Export("Mailchimp", ("LEID", "EUID"), ("Phone Number", "Phone", "SMS Phone Number"), ("Email Address",)),
    # https://help.klaviyo.com/hc/en-us/articles/115005078987
    Export("Klaviyo", ("Klaviyo ID", "Phone Number"), ("Phone Number",), ("Email",), ("External ID",)),
    # https://support.google.com/contacts/answer/7199294
    Export("Google Contacts", ("E-mail 1 - Value",), _numbered("Phone {} - Value"), _numbered("E-mail {} - Value")),
    # https://support.microsoft.com/office/import-contacts-to-outlook-bb796340-b58a-46c1-90c7-b549b8f3c5f8
    Export(
        "Outlook",
        ("E-mail Address", "Mobile Phone"),
        ("Primary Phone", "Mobile Phone", "Home Phone", "Home Phone 2", "Business Phone", "Business Phone 2",
         "Company Main Phone", "Other Phone"),
        ("E-mail Address", "E-mail 2 Address", "E-mail 3 Address"),
    ),
    # https://learn.microsoft.com/power-apps/user/export-data-excel
    Export("Dynamics 365", ("(Do Not Modify) Contact",),
           ("Business Phone", "Mobile Phone", "Home Phone"), ("Email",), ("(Do Not Modify) Contact",)),
)  # fmt: skip


def bare(name: str) -> str:
    """A column's name without its case and the signs between its words."""
    return "".join(char for char in name.casefold() if char.isalnum())


def recognised(names: Sequence[str]) -> Recognised | None:
    """What the header of a program in the table means; None for any other header."""
    places = {bare(name): name.strip() for name in reversed(names)}
    for export in EXPORTS:
        if all(bare(name) in places for name in export.signature):
            phones, emails, ids = (_there(wanted, places) for wanted in (export.phones, export.emails, export.ids))
            if phones and (emails or ids):
                ignored = _there(export.ignored, places)
                named = ((*emails, "")[0], (*ids, "")[0])
                return Recognised(export.program, phones, *named, ignored, export.to_fill_in)
    return None


def _there(wanted: Sequence[str], places: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(places[bare(name)] for name in wanted if bare(name) in places))
