"""The columns of a privacy-filtered package: the contract with everyone who reads the parquet.

A column is never removed, moved or given another type; a new one goes last. Not here: how values are checked.
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Place(StrEnum):
    """The object of a package that holds the value: the name of its key, empty for the package itself."""

    WINDOW = "analyticsWindow"
    METADATA = "metadata"
    METRICS = "metrics"
    TOP = ""


class Kind(StrEnum):
    """What a value is; `INSTANT` is text that names a moment in UTC."""

    INSTANT = "instant"
    TEXT = "string"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"


class Presence(StrEnum):
    """Whether a value may be absent from a package, or null."""

    REQUIRED = "required"
    OPTIONAL = "may be absent, never null"
    NULLABLE = "may be absent or null"
    ZERO = "zero if absent, never null"
    DEAD = "no longer read, always null"


_TYPES: dict[Kind, pa.DataType] = {
    Kind.INSTANT: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.INT32: pa.int32(),
    Kind.INT64: pa.int64(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its key in the package, where that stands, what it holds."""

    source: str
    place: Place
    kind: Kind
    presence: Presence

    @property
    def name(self) -> str:
        """The column's name in parquet."""
        return self.source.lower()

    @property
    def type(self) -> pa.DataType:
        """The column's type in parquet."""
        return _TYPES[self.kind]


def _instant(source: str) -> Column:
    return Column(source, Place.WINDOW, Kind.INSTANT, Presence.REQUIRED)


def _text(source: str, presence: Presence = Presence.REQUIRED) -> Column:
    return Column(source, Place.METADATA, Kind.TEXT, presence)


def _bytes(source: str) -> Column:
    return Column(source, Place.METRICS, Kind.INT64, Presence.NULLABLE)


def _count(source: str) -> Column:
    return Column(source, Place.METRICS, Kind.INT32, Presence.NULLABLE)


def _tick(source: str) -> Column:
    return Column(source, Place.METRICS, Kind.INT32, Presence.ZERO)


def _dead(source: str) -> Column:
    return Column(source, Place.METRICS, Kind.INT32, Presence.DEAD)


COLUMNS = (
    _instant("startDate"),
    _instant("endDate"),
    _text("postalDistrict"),
    _text("localAuthority", Presence.OPTIONAL),
    _text("deviceModel"),
    _text("latestApplicationVersion"),
    _text("operatingSystemVersion"),
    _bytes("cumulativeDownloadBytes"),
    _bytes("cumulativeUploadBytes"),
    _bytes("cumulativeCellularDownloadBytes"),
    _bytes("cumulativeCellularUploadBytes"),
    _bytes("cumulativeWifiDownloadBytes"),
    _bytes("cumulativeWifiUploadBytes"),
    _dead("checkedIn"),
    _dead("canceledCheckIn"),
    _tick("receivedVoidTestResult"),
    _tick("isIsolatingBackgroundTick"),
    _tick("hasHadRiskyContactBackgroundTick"),
    _tick("receivedPositiveTestResult"),
    _tick("receivedNegativeTestResult"),
    _dead("hasSelfDiagnosedPositiveBackgroundTick"),
    _dead("completedQuestionnaireAndStartedIsolation"),
    _tick("encounterDetectionPausedBackgroundTick"),
    _dead("completedQuestionnaireButDidNotStartIsolation"),
    _tick("totalBackgroundTasks"),
    _tick("runningNormallyBackgroundTick"),
    _tick("completedOnboarding"),
    Column("includesMultipleApplicationVersions", Place.TOP, Kind.BOOL, Presence.REQUIRED),
    _count("receivedVoidTestResultEnteredManually"),
    _count("receivedPositiveTestResultEnteredManually"),
    _count("receivedNegativeTestResultEnteredManually"),
    _count("receivedVoidTestResultViaPolling"),
    _count("receivedPositiveTestResultViaPolling"),
    _count("receivedNegativeTestResultViaPolling"),
    _dead("hasSelfDiagnosedBackgroundTick"),
    _dead("hasTestedPositiveBackgroundTick"),
    _dead("isIsolatingForSelfDiagnosedBackgroundTick"),
    _count("isIsolatingForTestedPositiveBackgroundTick"),
    _dead("isIsolatingForHadRiskyContactBackgroundTick"),
    _count("receivedRiskyContactNotification"),
    _count("startedIsolation"),
    _count("receivedActiveIpcToken"),
    _count("haveActiveIpcTokenBackgroundTick"),
    _count("selectedIsolationPaymentsButton"),
    _count("launchedIsolationPaymentsApplication"),
    _count("receivedPositiveLFDTestResultEnteredManually"),
    _dead("hasTestedLFDPositiveBackgroundTick"),
    _count("isIsolatingForTestedLFDPositiveBackgroundTick"),
    _count("totalExposureWindowsNotConsideredRisky"),
    _count("totalExposureWindowsConsideredRisky"),
    _dead("acknowledgedStartOfIsolationDueToRiskyContact"),
    _count("hasRiskyContactNotificationsEnabledBackgroundTick"),
    _count("totalRiskyContactReminderNotifications"),
    _count("receivedUnconfirmedPositiveTestResult"),
    _count("isIsolatingForUnconfirmedTestBackgroundTick"),
    _count("launchedTestOrdering"),
    _count("didHaveSymptomsBeforeReceivedTestResult"),
    _count("didRememberOnsetSymptomsDateBeforeReceivedTestResult"),
    _dead("didAskForSymptomsOnPositiveTestEntry"),
    _count("receivedPositiveSelfRapidTestResultEnteredManually"),
    _count("isIsolatingForTestedSelfRapidPositiveBackgroundTick"),
    _dead("hasTestedSelfRapidPositiveBackgroundTick"),
    _dead("receivedRiskyVenueM1Warning"),
    _dead("receivedRiskyVenueM2Warning"),
    _dead("hasReceivedRiskyVenueM2WarningBackgroundTick"),
    _count("totalAlarmManagerBackgroundTasks"),
    _count("missingPacketsLast7Days"),
    _count("askedToShareExposureKeysInTheInitialFlow"),
    _count("consentedToShareExposureKeysInTheInitialFlow"),
    _count("totalShareExposureKeysReminderNotifications"),
    _count("consentedToShareExposureKeysInReminderScreen"),
    _count("successfullySharedExposureKeys"),
    _count("didSendLocalInfoNotification"),
    _count("didAccessLocalInfoScreenViaNotification"),
    _count("didAccessLocalInfoScreenViaBanner"),
    _count("isDisplayingLocalInfoBackgroundTick"),
    _count("positiveLabResultAfterPositiveLFD"),
    _count("negativeLabResultAfterPositiveLFDWithinTimeLimit"),
    _count("negativeLabResultAfterPositiveLFDOutsideTimeLimit"),
    _count("positiveLabResultAfterPositiveSelfRapidTest"),
    _count("negativeLabResultAfterPositiveSelfRapidTestWithinTimeLimit"),
    _count("negativeLabResultAfterPositiveSelfRapidTestOutsideTimeLimit"),
    _dead("didAccessRiskyVenueM2Notification"),
    _dead("selectedTakeTestM2Journey"),
    _dead("selectedTakeTestLaterM2Journey"),
    _dead("selectedHasSymptomsM2Journey"),
    _dead("selectedHasNoSymptomsM2Journey"),
    _dead("selectedLFDTestOrderingM2Journey"),
    _dead("selectedHasLFDTestM2Journey"),
    _count("optedOutForContactIsolation"),
    _count("optedOutForContactIsolationBackgroundTick"),
    _count("appIsUsableBackgroundTick"),
    _count("appIsContactTraceableBackgroundTick"),
    _dead("didAccessSelfIsolationNoteLink"),
    _count("appIsUsableBluetoothOffBackgroundTick"),
    _count("completedV2SymptomsQuestionnaire"),
    _count("completedV2SymptomsQuestionnaireAndStayAtHome"),
    _dead("hasCompletedV2SymptomsQuestionnaireBackgroundTick"),
    _dead("hasCompletedV2SymptomsQuestionnaireAndStayAtHomeBackgroundTick"),
    _count("completedV3SymptomsQuestionnaireAndHasSymptoms"),
    _count("selfReportedVoidSelfLFDTestResultEnteredManually"),
    _count("selfReportedNegativeSelfLFDTestResultEnteredManually"),
    _count("isPositiveSelfLFDFree"),
    _count("selfReportedPositiveSelfLFDOnGov"),
    _count("completedSelfReportingTestFlow"),
)

LIVE_COLUMNS = tuple(column for column in COLUMNS if column.presence is not Presence.DEAD)
"""The columns whose values are still read."""

SCHEMA = pa.schema([pa.field(column.name, column.type) for column in COLUMNS])
