"""What phones send each day: one app's package of one day, made up but of the real shape.

Here: packages that are right, and what every upload tells of its phone. Not here: events, faults, files. The
platform's own table of columns is deliberately not used: a generator that shared it could never contradict it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

Pair = tuple[str, str | None]
"""A district and its authority, ``None`` where the package has none."""

METRICS: Mapping[str, str] = {
    "3.0": """
        cumulativeDownloadBytes cumulativeUploadBytes cumulativeCellularDownloadBytes cumulativeCellularUploadBytes
        cumulativeWifiDownloadBytes cumulativeWifiUploadBytes checkedIn<4.28 canceledCheckIn<4.28
        receivedVoidTestResult isIsolatingBackgroundTick hasHadRiskyContactBackgroundTick<4.28
        receivedPositiveTestResult receivedNegativeTestResult hasSelfDiagnosedPositiveBackgroundTick<4.28
        completedQuestionnaireAndStartedIsolation<5.0 encounterDetectionPausedBackgroundTick
        completedQuestionnaireButDidNotStartIsolation<5.0 totalBackgroundTasks runningNormallyBackgroundTick
        completedOnboarding""",
    "4.1": """
        receivedVoidTestResultEnteredManually receivedPositiveTestResultEnteredManually
        receivedNegativeTestResultEnteredManually receivedVoidTestResultViaPolling
        receivedPositiveTestResultViaPolling receivedNegativeTestResultViaPolling hasSelfDiagnosedBackgroundTick<5.0
        hasTestedPositiveBackgroundTick<5.0 isIsolatingForSelfDiagnosedBackgroundTick<5.0
        isIsolatingForTestedPositiveBackgroundTick isIsolatingForHadRiskyContactBackgroundTick<4.28
        receivedRiskyContactNotification startedIsolation""",
    "4.6": """
        receivedActiveIpcToken haveActiveIpcTokenBackgroundTick selectedIsolationPaymentsButton
        launchedIsolationPaymentsApplication receivedPositiveLFDTestResultEnteredManually
        hasTestedLFDPositiveBackgroundTick<5.0 isIsolatingForTestedLFDPositiveBackgroundTick
        totalExposureWindowsNotConsideredRisky totalExposureWindowsConsideredRisky
        acknowledgedStartOfIsolationDueToRiskyContact<4.28 hasRiskyContactNotificationsEnabledBackgroundTick
        totalRiskyContactReminderNotifications receivedUnconfirmedPositiveTestResult
        isIsolatingForUnconfirmedTestBackgroundTick launchedTestOrdering didHaveSymptomsBeforeReceivedTestResult
        didRememberOnsetSymptomsDateBeforeReceivedTestResult didAskForSymptomsOnPositiveTestEntry<5.0
        receivedPositiveSelfRapidTestResultEnteredManually isIsolatingForTestedSelfRapidPositiveBackgroundTick
        hasTestedSelfRapidPositiveBackgroundTick<5.0 receivedRiskyVenueM1Warning<4.28
        receivedRiskyVenueM2Warning<4.28 hasReceivedRiskyVenueM2WarningBackgroundTick<4.28
        totalAlarmManagerBackgroundTasks missingPacketsLast7Days""",
    "4.16": """
        askedToShareExposureKeysInTheInitialFlow consentedToShareExposureKeysInTheInitialFlow
        totalShareExposureKeysReminderNotifications consentedToShareExposureKeysInReminderScreen
        successfullySharedExposureKeys didSendLocalInfoNotification didAccessLocalInfoScreenViaNotification
        didAccessLocalInfoScreenViaBanner isDisplayingLocalInfoBackgroundTick positiveLabResultAfterPositiveLFD
        negativeLabResultAfterPositiveLFDWithinTimeLimit negativeLabResultAfterPositiveLFDOutsideTimeLimit
        positiveLabResultAfterPositiveSelfRapidTest negativeLabResultAfterPositiveSelfRapidTestWithinTimeLimit
        negativeLabResultAfterPositiveSelfRapidTestOutsideTimeLimit didAccessRiskyVenueM2Notification<4.28
        selectedTakeTestM2Journey<4.28 selectedTakeTestLaterM2Journey<4.28 selectedHasSymptomsM2Journey<4.28
        selectedHasNoSymptomsM2Journey<4.28 selectedLFDTestOrderingM2Journey<4.28 selectedHasLFDTestM2Journey<4.28
        optedOutForContactIsolation optedOutForContactIsolationBackgroundTick appIsUsableBackgroundTick
        appIsContactTraceableBackgroundTick didAccessSelfIsolationNoteLink<4.28
        appIsUsableBluetoothOffBackgroundTick""",
    "4.28": """
        completedV2SymptomsQuestionnaire completedV2SymptomsQuestionnaireAndStayAtHome
        hasCompletedV2SymptomsQuestionnaireBackgroundTick<5.0
        hasCompletedV2SymptomsQuestionnaireAndStayAtHomeBackgroundTick<5.0
        completedV3SymptomsQuestionnaireAndHasSymptoms""",
    "5.0": """
        selfReportedVoidSelfLFDTestResultEnteredManually selfReportedNegativeSelfLFDTestResultEnteredManually
        isPositiveSelfLFDFree selfReportedPositiveSelfLFDOnGov completedSelfReportingTestFlow""",
}
"""The metrics that each app version added; what is marked ``<version`` is no longer sent from that version on."""
VERSION_SHARES = (2, 2, 6, 30, 20, 40)

IPHONES = ("iPhone9,3", "iPhone10,4", "iPhone11,2", "iPhone12,1", "iPhone13,2", "iPhone14,5")
IPHONE_SYSTEMS = ("iPhone OS 13.5.1 (17F80)", "iPhone OS 15.6.1 (19G82)", "iPhone OS 16.1 (20B82)")
ANDROIDS = ("HUAWEI LDN-L21", "samsung SM-G991B", "samsung SM-A125F", "Google Pixel 6", "OnePlus AC2003")
ANDROID_SYSTEMS = ("26", "28", "29", "30", "31", "33")
IPHONE_SHARE, ISOLATING_SHARE, ODD_PLACE_SHARE, MIXED_VERSIONS_SHARE = 0.55, 0.05, 0.02, 0.03

RUNNING = (
    "runningNormallyBackgroundTick",
    "hasRiskyContactNotificationsEnabledBackgroundTick",
    "appIsUsableBackgroundTick",
    "appIsContactTraceableBackgroundTick",
)
"""Counted at every background task of a phone that works as it should."""
NUMBERS = [name for name in " ".join(METRICS.values()).split() if "<" not in name and not name.endswith("Bytes")]
EVENTS = [name for name in NUMBERS if not name.endswith("BackgroundTick") and name != "totalBackgroundTasks"]
LONDON = ZoneInfo("Europe/London")


def _zeros(version: str, *, iphone: bool) -> dict[str, int]:
    """Every metric that an app version sends, as on a day when nothing happens."""
    order = list(METRICS)
    age = order.index(version)
    entries = (entry.partition("<") for known in order[: age + 1] for entry in METRICS[known].split())
    sent = [name for name, _, until in entries if not until or order.index(until) > age]
    return {name: 0 for name in sent if iphone or not name.startswith(("cumulativeCellular", "cumulativeWifi"))}


APPS = [(version, iphone, _zeros(version, iphone=iphone)) for iphone in (True, False) for version in METRICS]
APP_SHARES = [*accumulate(share * part for part in (IPHONE_SHARE, 1 - IPHONE_SHARE) for share in VERSION_SHARES)]


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone with the app: what it tells of itself, and every metric that it sends, all of them zero."""

    metadata: dict[str, Any]
    iphone: bool
    zeros: Mapping[str, int]


def choose_phone(rng: Random, pairs: Sequence[Pair]) -> Phone:
    """A phone at one of these places, now and then at none that is known."""
    version, iphone, zeros = rng.choices(APPS, cum_weights=APP_SHARES)[0]
    district, authority = _place(rng, pairs)
    metadata = {
        "operatingSystemVersion": rng.choice(IPHONE_SYSTEMS if iphone else ANDROID_SYSTEMS),
        "latestApplicationVersion": version,
        "deviceModel": rng.choice(IPHONES if iphone else ANDROIDS),
        "postalDistrict": district,
    }
    if authority is not None:
        metadata["localAuthority"] = authority
    return Phone(metadata, iphone, zeros)


def make_package(rng: Random, pairs: Sequence[Pair], hour: datetime) -> dict[str, Any]:
    """One phone's package that arrives at ``hour``, most often of the last day that was over then."""
    phone = choose_phone(rng, pairs)
    windows = list_windows(hour)
    return {
        "analyticsWindow": dict(windows[int(len(windows) * rng.random() ** 20)]),
        "metadata": phone.metadata,
        "metrics": _count_day(rng, dict(phone.zeros), iphone=phone.iphone),
        "includesMultipleApplicationVersions": rng.random() < MIXED_VERSIONS_SHARE,
    }


def _count_day(rng: Random, metrics: dict[str, int], *, iphone: bool) -> dict[str, int]:
    total = 20 + int(76 * rng.random())
    paused = int(total * rng.random() ** 8)
    metrics["totalBackgroundTasks"] = total
    metrics["encounterDetectionPausedBackgroundTick"] = paused
    for name in RUNNING:
        if name in metrics:
            metrics[name] = total - paused
    for way in ("Download", "Upload"):
        size = int(2.5e9 * rng.random() ** 12)  # some megabytes as a rule, now and then more than 32 bits hold
        metrics[f"cumulative{way}Bytes"] = size
        if iphone:
            cellular = int(size * rng.random())
            metrics[f"cumulativeCellular{way}Bytes"] = cellular
            metrics[f"cumulativeWifi{way}Bytes"] = size - cellular
    if rng.random() < ISOLATING_SHARE:
        causes = [name for name in metrics if name.startswith("isIsolating")]
        metrics["isIsolatingBackgroundTick"] = metrics[rng.choice(causes)] = total - paused
    for _ in range(int(4 * rng.random() ** 2)):
        event = rng.choice(EVENTS)
        if event in metrics:
            metrics[event] += 1
    return metrics


def _place(rng: Random, pairs: Sequence[Pair]) -> Pair:
    district, authority = rng.choice(pairs)
    if rng.random() >= ODD_PLACE_SHARE:
        return district, authority
    known = [(district, ""), (district, None), (district, "E99999999")]
    return rng.choice([*known, (district.lower(), authority), ("XX99", authority), ("", ""), ("", None)])


@lru_cache(maxsize=64)
def list_windows(hour: datetime) -> Sequence[Mapping[str, str]]:
    """The last days that were over in the United Kingdom at ``hour``, the newest first."""
    today = hour.astimezone(LONDON).date()
    midnights = (datetime.combine(today - timedelta(days=age), time(), LONDON) for age in range(9))
    last = timedelta(minutes=1)
    return [
        {"startDate": format_instant(start), "endDate": format_instant(end - last)}
        for end, start in pairwise(midnights)
    ]


def format_instant(moment: datetime) -> str:
    """An aware moment as the apps write it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
