"""Shielding Patient List: patients whom the health service advised to shield. Those who have died are sent too."""

from __future__ import annotations

from pipelines.domains.residents.dates import USUAL_FORMS, DayColumn, Form
from pipelines.domains.residents.feeds.books import processed
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.feeds.sources import always, cell, constant, made, upper


def _tell_category(category: str, died: str) -> str:
    return f"SPL Category: {category}." + (f" Date of death: {died}" if died else "")


SPL = Feed(
    name="spl",
    columns=(
        *("Traced_NHSNUMBER", "PatientFirstName", "PatientOtherName", "PatientSurname", "DateOfBirth"),
        *("PatientAddress_Line1", "PatientAddress_Line2", "PatientAddress_Line3", "PatientAddress_Line4"),
        *("PatientAddress_Line5", "PatientAddress_PostCode", "PatientEmailAddress", "mobile", "landline"),
        *("DateOfDeath", "Flag_PDSInformallyDeceased", "oslaua", "oscty", "Data_Source", "category"),
        *("InceptionDate", "SPL_Version", "uprn"),
    ),
    born=DayColumn("DateOfBirth", (Form.COMPACT, *USUAL_FORMS)),
    fields={
        "Uprn": cell("uprn"),
        "Postcode": upper("PatientAddress_PostCode"),
        "AddressFirstLine": cell("PatientAddress_Line1"),
        "AddressSecondLine": cell("PatientAddress_Line2"),
        "AddressThirdLine": cell("PatientAddress_Line3"),
        "HelpWithSomethingElse": always(True),
        "FirstName": cell("PatientFirstName"),
        "LastName": cell("PatientSurname"),
        "ContactTelephoneNumber": cell("landline"),
        "ContactMobileNumber": cell("mobile"),
        "EmailAddress": cell("PatientEmailAddress"),
        "CallbackRequired": always(False),
        "NhsNumber": cell("Traced_NHSNUMBER"),
    },
    help_needed=constant("Shielding"),
    metadata={"spl_id": cell("Traced_NHSNUMBER")},
    key="spl_id",
    author="Data Ingestion: Shielding Patient List",
    notes=(made(_tell_category, "category", "DateOfDeath"),),
    books=processed(),
)
