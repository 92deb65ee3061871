"""One host for an account (SEC-04): a wallet's lease on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.errors import ConfigError
from polyhost.service.lease import Lease, runtime_folder

WALLET = "0xAbC"


def test_sec_04_a_second_host_of_the_same_wallet_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with Lease("http://venue", WALLET, "account live in /data, pid 7", tmp_path):
        with pytest.raises(ConfigError, match=r"0xabc.*already: account live in /data, pid 7; stop it first"), \
                Lease("http://venue", "0xabc", "another", tmp_path):
            raise AssertionError("held twice")
        with Lease("http://elsewhere", WALLET, "another venue", tmp_path), Lease("http://venue", "0xd", "d", tmp_path):
            pass
    with Lease("http://venue", WALLET, "the next one", tmp_path):
        assert [file.read_text() for file in tmp_path.glob("*.lease") if file.read_text()] == ["the next one"]


def test_sec_04_the_leases_are_in_a_folder_of_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = runtime_folder()
    assert folder == tmp_path / "polyhost"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="not a folder of this user alone"):
        runtime_folder()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="not a folder of this user alone"):
        runtime_folder()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="set XDG_RUNTIME_DIR"):
        runtime_folder()
