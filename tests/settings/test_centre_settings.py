"""What the centre's processes are told, and what they refuse to be told."""

from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.settings import sources
from fleet.settings.agent import AgentSettings
from fleet.settings.centre import CentreSettings


def test_without_anything_said_it_is_one_machine_with_sqlite(tmp_path: Path) -> None:
    settings = CentreSettings.read(state_dir=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/fleet.db"
    assert settings.socket == tmp_path / "fleet.sock"
    assert settings.web.listen == ""


def test_the_environment_goes_before_the_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.write_text('[planner]\ntick_s = 9\nbatch = 7\n[check]\ninsecure = ["a:5000"]\n')
    monkeypatch.setenv("FLEET_PLANNER_TICK_S", "0.5")
    settings = CentreSettings.read()
    assert (settings.planner.tick_s, settings.planner.batch, settings.check.insecure) == (0.5, 7, ("a:5000",))


def test_a_list_in_the_environment_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_CHECK_INSECURE", "a:5000, 10.0.0.0/8,")
    assert CentreSettings.read().check.insecure == ("a:5000", "10.0.0.0/8")


def test_the_port_and_the_socket_have_short_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_LISTEN", "0.0.0.0:8443")
    monkeypatch.setenv("FLEET_SOCKET", "/run/fleet/api.sock")
    settings = CentreSettings.read()
    assert settings.web.listen == "0.0.0.0:8443"
    assert settings.socket == Path("/run/fleet/api.sock")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FLEET_DATABSE_URL", "FLEET_DATABASE_URL"),
        ("FLEET_BROKER_PLAINTXT", "FLEET_BROKER_PLAINTEXT"),
        ("FLEET_DATABASE_URL_FIL", "FLEET_DATABASE_URL_FILE"),
    ],
)
def test_a_misspelled_variable_is_refused_with_the_one_that_was_meant(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(BadInput, match=f"^cannot use {name}: .*did you mean {meant}\\?"):
        CentreSettings.read()


@pytest.mark.parametrize(
    "name", ["FLEET_JOIN", "FLEET_NO_INPUT", "FLEET_TOKEN_FILE", "FLEET_SERVER", "FLEET_CA_FILE", "FLEET_OUTPUT"]
)
def test_the_variables_of_other_programs_are_let_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    CentreSettings.read()


def test_an_unknown_key_of_the_file_is_refused_with_the_one_that_was_meant(bare: Path) -> None:
    bare.write_text("[planner]\ntick = 9\n")
    with pytest.raises(BadInput, match=r"planner\.tick in .*did you mean planner\.tick_s\?"):
        CentreSettings.read()


def test_the_tables_of_other_programs_are_let_alone(bare: Path) -> None:
    bare.write_text("[agent]\nanything = 9\n")
    CentreSettings.read()


def test_a_file_that_was_named_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLEET_CONFIG", str(tmp_path / "no.toml"))
    with pytest.raises(BadInput, match=r"^cannot read the settings .*No such file"):
        CentreSettings.read()


def test_a_file_that_is_no_toml_is_refused(bare: Path) -> None:
    bare.write_text("[planner\n")
    with pytest.raises(BadInput, match=r"^cannot read the settings"):
        CentreSettings.read()


def test_a_value_of_the_wrong_kind_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_PLANNER_TICK_S", "soon")
    with pytest.raises(BadInput, match=r"planner\.tick_s \(FLEET_PLANNER_TICK_S\)"):
        CentreSettings.read()


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("p@ss/word\n")
    monkeypatch.setenv("FLEET_DATABASE_URL", "postgresql://fleet@db/fleet")
    monkeypatch.setenv("FLEET_DATABASE_PASSWORD_FILE", str(tmp_path / "p"))
    assert CentreSettings.read().database_url == "postgresql://fleet:p%40ss%2Fword@db/fleet"


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLEET_DATABASE_URL", "sqlite:////a")
    monkeypatch.setenv("FLEET_DATABASE_URL_FILE", str(tmp_path / "p"))
    with pytest.raises(BadInput, match=r"^cannot use both"):
        CentreSettings.read()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_DATABASE_URL", "postgresql://fleet:hunter2@db/fleet")
    monkeypatch.setenv("FLEET_BROKER_PASSWORD", "hunter2")
    assert "hunter2" not in repr(CentreSettings.read())


def test_no_broker_is_said_with_the_way_out() -> None:
    with pytest.raises(BadInput, match=r"^cannot go on without a broker; set FLEET_BROKER_URL"):
        CentreSettings.read().broker_address()


def test_a_plaintext_broker_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_BROKER_URL", "redis://broker.lan/0")
    with pytest.raises(BadInput, match="plaintext"):
        CentreSettings.read().broker_address()


def test_hosts_are_told_the_public_address_without_the_centres_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_BROKER_URL", "redis://centre:secret@127.0.0.1:7000/0")
    monkeypatch.setenv("FLEET_BROKER_PUBLIC_URL", "redis://10.0.0.1:6379/0")
    monkeypatch.setenv("FLEET_BROKER_PLAINTEXT", "true")
    settings = CentreSettings.read()
    assert settings.broker_address().password == "secret"
    assert (settings.public_broker().url, settings.public_broker().password) == ("redis://10.0.0.1:6379/0", "")


@pytest.mark.parametrize("settings", [AgentSettings, CentreSettings])
def test_centre_and_agent_let_each_others_variables_alone(
    settings: type[AgentSettings] | type[CentreSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``fleet up`` runs both with one environment."""
    other = CentreSettings if settings is AgentSettings else AgentSettings
    own = {sources.env_name(path, field) for path, field in sources.leaves(settings)}
    for path, field in sources.leaves(other):
        name = sources.env_name(path, field)
        for variable in (name, *([f"{name}_FILE"] if sources.is_secret(field) else [])):
            if variable not in own:
                monkeypatch.setenv(variable, "" if variable.endswith("_FILE") else "1")
    settings.read()
