"""What the Here to Help API calls the fields of a help request, and the order in which it gives them back."""

from __future__ import annotations

from typing import Any

RESIDENT = frozenset(
    {
        "Postcode",
        "Uprn",
        "Ward",
        "AddressFirstLine",
        "AddressSecondLine",
        "AddressThirdLine",
        "IsPharmacistAbleToDeliver",
        "NameAddressPharmacist",
        "FirstName",
        "LastName",
        "DobMonth",
        "DobYear",
        "DobDay",
        "ContactTelephoneNumber",
        "ContactMobileNumber",
        "EmailAddress",
        "GpSurgeryDetails",
        "NumberOfChildrenUnder18",
        "ConsentToShare",
        "RecordStatus",
        "NhsNumber",
    }
)
"""Those that are kept with the resident, and so are the same in all requests of one."""

_ORDER = (
    "IsOnBehalf",
    "ConsentToCompleteOnBehalf",
    "OnBehalfFirstName",
    "OnBehalfLastName",
    "OnBehalfEmailAddress",
    "OnBehalfContactNumber",
    "RelationshipWithResident",
    "Postcode",
    "Uprn",
    "Ward",
    "AddressFirstLine",
    "AddressSecondLine",
    "AddressThirdLine",
    "GettingInTouchReason",
    "HelpWithAccessingFood",
    "HelpWithAccessingSupermarketFood",
    "HelpWithCompletingNssForm",
    "HelpWithShieldingGuidance",
    "HelpWithNoNeedsIdentified",
    "HelpWithAccessingMedicine",
    "HelpWithAccessingOtherEssentials",
    "HelpWithDebtAndMoney",
    "HelpWithHealth",
    "HelpWithMentalHealth",
    "HelpWithAccessingInternet",
    "HelpWithHousing",
    "HelpWithJobsOrTraining",
    "HelpWithChildrenAndSchools",
    "HelpWithDisabilities",
    "HelpWithSomethingElse",
    "MedicineDeliveryHelpNeeded",
    "IsPharmacistAbleToDeliver",
    "WhenIsMedicinesDelivered",
    "NameAddressPharmacist",
    "UrgentEssentials",
    "UrgentEssentialsAnythingElse",
    "CurrentSupport",
    "CurrentSupportFeedback",
    "FirstName",
    "LastName",
    "DobMonth",
    "DobYear",
    "DobDay",
    "ContactTelephoneNumber",
    "ContactMobileNumber",
    "EmailAddress",
    "GpSurgeryDetails",
    "NumberOfChildrenUnder18",
    "ConsentToShare",
    "DateTimeRecorded",
    "RecordStatus",
    "InitialCallbackCompleted",
    "CallbackRequired",
    "CaseNotes",
    "AdviceNotes",
    "HelpNeeded",
    "HelpNeededSubtype",
    "NhsNumber",
    "NhsCtasId",
)

TRUTHS = frozenset(
    name
    for name in _ORDER
    if name.startswith(("HelpWith", "IsOnBehalf", "ConsentTo", "IsPharmacist", "InitialCallback", "Callback"))
) | {"MedicineDeliveryHelpNeeded"}
"""Those that are true, false or null. `DateTimeRecorded` is a moment, all others are texts."""

REQUEST = frozenset(_ORDER) | {"Metadata"}
"""Those that a caller may send; all of them may be left out."""

_SPELLINGS = {name.lower(): name for name in REQUEST}


def spelt(name: str) -> str:
    """A field's own spelling: names are taken in any case, as the API does. A name that it does not know stays."""
    return name if name in REQUEST else _SPELLINGS.get(name.lower(), name)


def lay_out(request_id: int, resident_id: int, values: dict[str, Any]) -> dict[str, Any]:
    """A help request as version 3 gives it; what ``values`` lack is null."""
    return {
        "Id": request_id,
        "ResidentId": resident_id,
        **{name: values.get(name) for name in _ORDER},
        "AssignedTo": None,
        "Metadata": values.get("Metadata"),
        "HelpRequestCalls": [],
    }


def lay_out_for_resident(request_id: int, resident_id: int, values: dict[str, Any]) -> dict[str, Any]:
    """A help request as version 4 lists it: without the resident's own fields, and with two fields mixed up."""
    slips = {
        "HelpWithAccessingInternet": values.get("HelpWithAccessingFood"),
        "UrgentEssentialsAnythingElse": values.get("UrgentEssentials"),
    }
    whole = lay_out(request_id, resident_id, values | slips)
    return {name: value for name, value in whole.items() if name not in RESIDENT}
