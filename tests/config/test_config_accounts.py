"""[accounts.NAME]: the configuration of each, and what does not go together (CON-13, OPS-06)."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.cli.main import main
from polyhost.cli.options import account_of as named_account
from polyhost.configuration import Loaded, load_configuration
from polyhost.configuration.choices import choose
from polyhost.errors import ConfigError
from polyhost.model.quantities import Money

CONFIG = Path(__file__).resolve().parents[2] / "config"
TWO = """\
[host]
data_dir = "runs"
[venue]
url = "http://127.0.0.1:1"
wallet = "safe"
[limits]
window = "20"
total = "200"
[accounts.paper]
mode = "paper"
[accounts.real]
mode = "live"
wallet = "proxy"
key = { env = "NOWHERE" }
[accounts.real.limits]
window = "5"
"""


def loaded(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_configuration(path, env={})


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text)
    return str(error.value)


def test_each_account_is_a_configuration_of_its_own(tmp_path: Path) -> None:
    both = loaded(tmp_path, TWO)
    paper, real = both.for_account("paper"), both.for_account("real")
    assert [each.configuration.host.account for each in (paper, real)] == ["paper", "real"]
    assert [each.configuration.host.mode for each in (paper, real)] == ["paper", "live"]
    assert [each.configuration.host.data_dir for each in (paper, real)] == ["runs/paper", "runs/real"]
    assert [each.configuration.venue.wallet for each in (paper, real)] == ["safe", "proxy"]
    assert [each.configuration.limits.window for each in (paper, real)] == [Money("20"), Money("5")]
    assert real.configuration.limits.total == Money("200"), "what it does not set is the common one"
    assert list(real.configuration.accounts) == ["real"], "it knows of no other"
    assert real.again().configuration == real.configuration
    assert real.config_hash != paper.config_hash
    assert real.place("limits.window").endswith("mine.toml:16")


def test_plugins_are_chosen_for_each_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(TWO, encoding="utf-8")
    choose("runs/real", "stop_loss", enabled=False)
    both = load_configuration(path)
    assert both.for_account("real").configuration.plugins["stop_loss"]["enabled"] is False
    assert both.for_account("paper").configuration.plugins["stop_loss"].get("enabled", True)


def test_which_account_is_meant(tmp_path: Path) -> None:
    both = loaded(tmp_path, TWO)
    assert named_account(both, "real").configuration.host.account == "real"
    with pytest.raises(ConfigError, match="several accounts are configured; allowed: paper, real; name one of them"):
        named_account(both, "")
    with pytest.raises(ConfigError, match=r"no account of this name \(did you mean 'real'\?\)"):
        named_account(both, "rael")
    one = loaded(tmp_path, "[accounts.only]\n")
    assert named_account(one, "").configuration.host.account == "only"
    none = loaded(tmp_path, "[host]\naccount = 'mine'\n")
    assert named_account(none, "") is none
    with pytest.raises(ConfigError, match="no account of this name"):
        named_account(none, "mine")


@pytest.mark.parametrize("command", [
    ["status"], ["why", "window", "x"], ["pause"], ["kill"], ["db", "status"], ["plugins", "list"], ["replay"],
    ["plugins", "disable", "stop_loss"], ["compare"],
])
def test_every_command_that_looks_into_a_data_folder_asks_which(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(tmp_path, TWO)
    with pytest.raises(SystemExit) as ended:
        main([*command, "-c", str(tmp_path / "mine.toml")])
    assert ended.value.code == 2
    assert "several accounts are configured" in capsys.readouterr().err


LIVE = "[accounts.a]\nmode = 'live'\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[host]\nmode = 'live'", "live needs an account of its own"),
        ("[host]\nmode = 'shadow'", "shadow needs an account of its own"),
        (LIVE, "[accounts.a] key: a live account needs its private key"),
        (LIVE.replace("live", "shadow"), "a shadow account needs its private key"),
        (LIVE + "key = { env = 'A' }\n[accounts.b]\n", "the simulated exchange is no account's beside"),
        (LIVE + "key = { env = 'A' }\n[accounts.b]\nmode = 'live'\nkey = { env = 'A' }", "the key of accounts.a too"),
        (LIVE + "key = { env = 'A', file = 'b' }", "names no place of a secret, or several"),
        (LIVE + "key = { env = 'A' }\n[host]\nmode = 'paper'", "each account has a mode of its own"),
        ("[accounts.a]\nmode = 'paper'\ncash = '0'", "leaves nothing to trade with"),
        ("[accounts.'../up']\n", "accounts"),
        ("[accounts.a.limits]\nwindw = '5'", "did you mean 'window'?"),
        ("[accounts.a.limits]\nwindow = '0'", "mine.toml:2 [accounts.a.limits] window: leaves no entry possible"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, text)


@pytest.mark.parametrize("key", ["'0x" + "ab" * 32 + "'", "'hunter2'"])
def test_cfg_02_a_key_in_the_file_itself_is_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    message = refused(tmp_path, LIVE + f"key = {key}")
    assert "a secret has no place in a configuration" in message
    assert '{ file = "PATH" }' in message
    assert key.strip("'") not in message


KEYED = LIVE + "key = { env = 'A' }\nwallet = 'safe'\n"
REFERENCE = "{ env = 'R' }"
UUID = "0197b2c4-11d2-7f00-9c55-1f2e3d4c5b6a"


@pytest.mark.parametrize(
    "relayer",
    [
        "{ key = R }", "{ key = R, address = '0x" + "aB" * 20 + "' }", "{ key = R, secret = R, passphrase = R }",
        "{ key = { keyring = 'polyhost/relayer' } }", "{ key = { file = '~/relayer' } }",
    ],
)
def test_a_relayer_key_or_a_builder_key_is_taken_and_stays_where_it_is(tmp_path: Path, relayer: str) -> None:
    """ORD-22, SET-03: contract wallets."""
    found = loaded(tmp_path, f"{KEYED}relayer = {relayer.replace('= R', '= ' + REFERENCE)}").for_account("a")
    assert found.configuration.accounts["a"].relayer is not None
    assert found.again().configuration == found.configuration
    assert loaded(tmp_path, KEYED).configuration.accounts["a"].relayer is None


@pytest.mark.parametrize(
    ("relayer", "words"),
    [
        ("{ address = '0x" + "ab" * 20 + "' }", "[accounts.a.relayer] key: a relayer or builder key needs its key"),
        ("{}", "make one on polymarket.com, Settings, API Keys, and say where it is kept"),
        ("{ key = R, secret = R }", "[accounts.a.relayer] passphrase: a builder key with its secret needs its pass"),
        ("{ key = R, passphrase = R }", "[accounts.a.relayer] secret: a builder key with its passphrase needs its sec"),
        ("{ key = R, secret = R, passphrase = R, address = '0x" + "ab" * 20 + "' }", "goes with a relayer key, secret"),
        ("{ key = R, address = '0x12' }", "address: is no address; given '0x12'; allowed: 0x and 40 hexadecimal"),
        ("{ key = R, addres = 'x' }", "did you mean 'address'?"),
        ("{ key = { env = 'R', file = 'r' } }", "names no place of a secret, or several"),
        ("{ key = {} , secret = {} }", "needs its key"),
    ],
)
def test_what_is_neither_a_relayer_key_nor_a_builder_key_is_refused(tmp_path: Path, relayer: str, words: str) -> None:
    message = refused(tmp_path, f"{KEYED}relayer = {relayer.replace('= R', '= ' + REFERENCE)}")
    assert words in message
    assert "mine.toml:" in message


@pytest.mark.parametrize(
    "relayer",
    [
        f"'{UUID}'", f"{{ key = '{UUID}' }}", f"{{ key = R, address = '{UUID}' }}", f"{{ key = {{ env = '{UUID}' }} }}",
        f"{{ key = {{ file = '{UUID}' }} }}", f"{{ key = R, secret = '{UUID}', passphrase = R }}",
        f"{{ key = R, secret = R, passphrase = '{UUID}' }}", f"{{ key = R, api_key = '{UUID}' }}",
    ],
)
def test_cfg_02_a_relayer_key_in_the_file_itself_is_refused_and_not_repeated(tmp_path: Path, relayer: str) -> None:
    message = refused(tmp_path, f"{KEYED}relayer = {relayer.replace('= R', '= ' + REFERENCE)}")
    assert UUID[:13] not in message
    assert "mine.toml:" in message


@pytest.mark.parametrize("name", ["paper.toml", "live.toml"])
def test_the_shipped_files_of_the_modes_pass_config_check(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["config", "check", "-c", str(CONFIG / name)])
    assert ended.value.code in (0, None), capsys.readouterr().err
