"""A site as it runs: processes are killed, stopped and started, and nothing is lost or left on."""

import os
import signal

import pytest

from .running import RunningSite, alive, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path):
    with RunningSite(tmp_path) as running:
        running.wait_for_delivery()
        yield running


def test_a_clean_end_releases_the_units_and_stores_every_sample(site):
    control, gateway = site.pid_of("control"), site.pid_of("gateway")
    assert site.end(signal.SIGTERM) == 0

    wait_for(site.released, "the release of the units")
    assert not alive(control)
    assert not alive(gateway)
    site.assert_all_stored()
    texts = [row[0] for row in site.rows("SELECT text FROM event")]
    assert "control process ended" in texts
    assert "Traceback" not in site.log.read_text()


def test_when_control_is_killed_the_units_are_stopped_and_the_numbers_go_on(site):
    killed = site.pid_of("control")
    os.kill(killed, signal.SIGKILL)
    wait_for(site.stopped, "the stop of the units")
    wait_for(lambda: site.pid_of("control") not in (0, killed), "another control process")
    site.wait_for_delivery()
    assert site.end() == 0

    site.assert_all_stored()
    told = [row[0] for row in site.rows("SELECT text FROM event WHERE severity = 2")]
    assert any("units de-energised" in text and "but not" not in text for text in told), told


def test_when_the_gateway_is_killed_the_beat_goes_on_and_nothing_is_lost(site):
    control, killed = site.pid_of("control"), site.pid_of("gateway")
    os.kill(killed, signal.SIGKILL)
    site.ticks_go_on(10)
    wait_for(lambda: site.pid_of("gateway") not in (0, killed), "another gateway process")
    site.ticks_go_on(5)

    assert site.pid_of("control") == control
    assert site.delivering()
    assert site.end() == 0
    site.assert_all_stored()


def test_when_the_parent_is_killed_its_children_release_the_units_and_end(site):
    control, gateway = site.pid_of("control"), site.pid_of("gateway")
    assert site.end(signal.SIGKILL) == -signal.SIGKILL

    wait_for(lambda: not alive(control) and not alive(gateway), "the end of the children")
    wait_for(site.released, "the release of the units")
    site.assert_all_stored()


def test_a_gateway_that_is_frozen_for_a_while_stores_everything_afterwards(site):
    gateway = site.pid_of("gateway")
    os.kill(gateway, signal.SIGSTOP)
    site.ticks_go_on(20)
    os.kill(gateway, signal.SIGCONT)
    wait_for(lambda: site.gateway.backlog < 10, "the gateway catching up")

    assert site.pid_of("gateway") == gateway
    assert site.end() == 0
    site.assert_all_stored()


def test_a_stop_de_energises_while_the_gateway_is_frozen_and_a_resume_lifts_it(site):
    gateway = site.pid_of("gateway")
    os.kill(gateway, signal.SIGSTOP)
    assert site.command("stop")[0] == 0
    wait_for(site.stopped, "the stop of the units")
    site.ticks_go_on(10)
    assert site.stopped()
    os.kill(gateway, signal.SIGCONT)

    assert site.command("resume")[0] == 0
    wait_for(site.delivering, "delivery after the resume")
    assert site.end() == 0
    site.assert_all_stored()


def test_a_stop_holds_over_a_new_control_process(site):
    assert site.command("stop")[0] == 0
    wait_for(site.stopped, "the stop of the units")
    killed = site.pid_of("control")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: site.pid_of("control") not in (0, killed), "another control process")
    site.ticks_go_on(15)

    assert site.stopped()
    assert site.control.stopped
    assert site.control.reason == "stop"


def test_a_second_site_of_the_same_name_is_refused_and_the_first_goes_on(site):
    code, output, errors = site.command("run")

    assert (code, output) == (2, "")
    assert errors.count("\n") == 1
    assert "is running already" in errors
    assert str(site.parent.pid) in errors
    site.ticks_go_on(3)
    assert site.delivering()
    assert site.end() == 0
    site.assert_all_stored()


def test_units_that_cannot_be_reached_hold_up_neither_start_nor_end(tmp_path):
    with RunningSite(tmp_path, units=3, simulated=False) as site:
        wait_for(lambda: site.control, "a control process")
        site.ticks_go_on(5)
        assert [unit.condition for unit in site.control.units] == ["absent"] * 3
        wait_for(lambda: site.rows("SELECT 1 FROM tick LIMIT 1"), "a stored tick")
        assert site.end() == 0

        texts = [row[0] for row in site.rows("SELECT text FROM event WHERE severity = 1")]
        assert {text.split(" ")[0] for text in texts} >= {"c1", "c2", "c3"}
        assert site.rows("SELECT * FROM sample") == []
