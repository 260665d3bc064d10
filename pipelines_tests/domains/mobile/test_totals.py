"""What an hour adds up to."""

from __future__ import annotations

from pipelines.core.work import Reason, State
from pipelines.domains.mobile.feeds import PACKAGES
from pipelines.domains.mobile.totals import Totals, total
from pipelines_tests.domains.mobile.stages import MAPPING, Stage, lines, packed, text


def hour(stage: Stage) -> Totals:
    return total(stage.ledger.items(PACKAGES.queue))


def test_an_hour_adds_up_what_its_files_hold(stage: Stage) -> None:
    stage.land("a.json", text([*lines(10), b"{}", b"["]))
    stage.land("b.json.gz", packed(lines(20))[:-300])
    gone = stage.land("c.json", b"{}")
    stage.take_in()
    gone.unlink()
    stage.work()
    stage.land("d.json", b"{}")
    stage.take_in()
    totals = hour(stage)
    written = stage.table("a.json").num_rows + stage.table("b.json.gz").num_rows
    assert totals.files == {State.SETTLED: 2, State.DEAD: 1, State.PENDING: 1}
    assert totals.reasons == {Reason.GONE: 1}
    assert (totals.written, totals.read, totals.waiting, totals.broken) == (written, written + 2, 1, 1)
    assert totals.rejected == {"missing": 1, "not JSON": 1}
    assert totals.mappings == {MAPPING.version}
    assert totals.bytes == sum(stage.output(name).stat().st_size for name in ("a.json", "b.json.gz"))


def test_a_version_that_was_replaced_counts_as_a_file_only(stage: Stage) -> None:
    stage.land("a.json", text(lines(10)))
    stage.run()
    stage.land("a.json", text(lines(3)))
    stage.run()
    totals = hour(stage)
    assert (totals.written, totals.files[State.SUPERSEDED], totals.reasons) == (3, 1, {})


def test_a_file_without_output_adds_no_bytes(stage: Stage) -> None:
    stage.land("a.json", b"")
    stage.run()
    totals = hour(stage)
    assert (totals.files[State.SETTLED], totals.bytes, totals.rejected, totals.unknown) == (1, 0, {}, 0)


def test_the_version_of_an_hour_changes_with_any_of_its_outputs_and_with_nothing_else(stage: Stage) -> None:
    versions = [hour(stage).version]
    for name, content in (("a.json", lines(3)), ("b.json", lines(3)), ("a.json", lines(4)), ("b.json", lines(3))):
        stage.land(name, text(content))
        stage.run()
        versions.append(hour(stage).version)
    assert len(set(versions[:4])) == 4
    assert versions[4] == versions[3], "the same content landed again"
