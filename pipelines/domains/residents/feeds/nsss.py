"""National Shielding Service System: what clinically extremely vulnerable people answered about the help they need."""

from __future__ import annotations

from pipelines.domains.residents.dates import USUAL_FORMS, DayColumn
from pipelines.domains.residents.feeds.books import processed
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.feeds.sources import always, cell, constant, template, upper, yes

NSSS = Feed(
    name="nsss",
    columns=(
        *("nhs_number", "first_name", "last_name", "date_of_birth", "address_line1", "address_line2"),
        *("address_town_city", "address_postcode", "address_uprn", "contact_number_calls", "contact_number_texts"),
        *("contact_email", "do_you_want_supermarket_deliveries"),
        "do_you_need_someone_to_contact_you_about_local_support",
    ),
    also_needed=("ID", "submission_datetime", "do_you_have_someone_to_go_shopping_for_you"),
    born=DayColumn("date_of_birth", USUAL_FORMS),
    fields={
        "Uprn": cell("address_uprn"),
        "Postcode": upper("address_postcode"),
        "AddressFirstLine": cell("address_line1"),
        "AddressSecondLine": cell("address_line2"),
        "AddressThirdLine": cell("address_town_city"),
        "HelpWithSomethingElse": always(True),
        "FirstName": cell("first_name"),
        "LastName": cell("last_name"),
        "ContactTelephoneNumber": cell("contact_number_calls"),
        "ContactMobileNumber": cell("contact_number_texts"),
        "EmailAddress": cell("contact_email"),
        "CallbackRequired": yes("do_you_need_someone_to_contact_you_about_local_support"),
        "NhsNumber": cell("nhs_number"),
    },
    help_needed=constant("Shielding"),
    metadata={"nsss_id": cell("ID")},
    key="nsss_id",
    author="Data Ingestion: National Shielding Service System",
    notes=(
        template(
            "CEV: Dec 2020 Tier 4 NSSS Submitted on:  {}. Do you want supermarket deliveries? {}. Do you have someone "
            "to go shopping for you? {}. Do you need someone to contact you about local support? {}.",
            "submission_datetime",
            "do_you_want_supermarket_deliveries",
            "do_you_have_someone_to_go_shopping_for_you",
            "do_you_need_someone_to_contact_you_about_local_support",
        ),
    ),
    books=processed(),
)
