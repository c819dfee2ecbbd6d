"""Write the configuration of a Mosquitto that can face a network, and what its clients need.

TLS 1.2 or later, nobody anonymous, and for each gateway an account that reaches its own topics
alone. `docs/threat-model.md` says what that defends against, and what it does not.
"""

import os
import pwd
import secrets
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfleet.atomic import write_atomically
from tinyfleet.errors import BrokerError
from tinyfleet.server.certificates import (
    Pair,
    certified_hosts,
    certify_client,
    certify_host,
    make_authority,
)
from tinyfleet.server.mosquitto import (
    SERVER_ACCOUNT,
    SecureBroker,
    access,
    hash_password,
    secure_settings,
    unit,
)

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
SECRET = 0o600
OPEN = 0o644


@dataclass(frozen=True)
class _File:
    path: Path
    data: bytes
    mode: int


def write_secure_broker(broker: SecureBroker, folder: Path, *, force: bool = False) -> Path:
    """Write the broker's configuration and a folder for each client; return the former.

    A folder that holds something is refused unless `force`; then the configuration is written
    anew, while the authority, the clients' passwords and keys that are there stay. So a gateway
    is added without touching the others, one that is not named any more is locked out, and one
    whose folder was removed before gets a new secret.

    Passwords and keys go into files of mode 0600. Written by root, what the broker reads belongs
    to the user mosquitto where there is one.

    Raises:
        BrokerError: the folder is not empty, or what is there is not whole.
        FleetError: a file cannot be written.
    """
    folder = folder.resolve()
    if not str(folder).isprintable() or '"' in str(folder):
        raise BrokerError(f"--out: expected a path without control signs or quotes, got {folder!r}")
    try:
        if not force and folder.exists() and any(folder.iterdir()):
            raise BrokerError(
                f"{folder}: expected an empty folder, got one that holds something; take another, "
                "or --force, which keeps the authority, passwords and keys that are there"
            )
        authority = _authority(broker, folder)
        files = [
            *_broker_files(broker, folder, authority),
            *_client_files(broker, folder, authority),
        ]
        _write(folder, files)
    except OSError as error:
        raise BrokerError(
            f"{folder}: expected a folder that can be read and written, got "
            f"{error.strerror or error}; check its permissions"
        ) from None
    return folder / "mosquitto.conf"


def former_place(folder: Path) -> tuple[tuple[str, ...], int] | None:
    """Return the hosts and the port of the broker that was written to `folder`; None without one.

    Raises:
        BrokerError: what is there cannot be read.
    """
    table, certificate = folder / "clients" / SERVER_ACCOUNT / "broker.toml", _certificate(folder)
    if not table.exists() or not certificate.exists():
        return None
    try:
        values = tomllib.loads(table.read_text("utf-8"))["broker"]
        first, port = str(values["host"]), int(values["port"])
        names = certified_hosts(certificate.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokerError(
            f"{table}: expected the host and port that were written there, got {error}; "
            "give --host and --port"
        ) from None
    more = (name for name in names if name not in (first, *LOCAL_HOSTS))
    return (first, *more), port


def left_over(broker: SecureBroker, folder: Path) -> list[Path]:
    """Return the folders of clients in `folder` that have no account any more, sorted."""
    clients = (path for path in (folder / "clients").iterdir() if path.is_dir())
    return sorted(path for path in clients if path.name not in broker.accounts)


def _certificate(folder: Path) -> Path:
    return folder / "broker" / "broker.crt"


def _write(folder: Path, files: Sequence[_File]) -> None:
    owner = _mosquitto_user()
    folder.mkdir(parents=True, exist_ok=True)
    # Closed before a secret is in them: no file is readable by others for even a moment.
    for private in ("ca", "broker", "clients", "data"):
        (folder / private).mkdir(mode=0o700, exist_ok=True)
        (folder / private).chmod(0o700)
    for file in files:
        file.path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(file.path, file.data)
        file.path.chmod(file.mode)
    if owner is not None:
        # Mosquitto may read its files but not replace them: root writes here again one day.
        os.chown(folder / "broker", 0, owner.pw_gid)
        (folder / "broker").chmod(0o750)
        for path in (folder / "data", *(folder / "broker").iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)


def _mosquitto_user() -> pwd.struct_passwd | None:
    """Return whom Mosquitto becomes when root starts it, None where that does not arise."""
    if os.geteuid() != 0:
        return None
    return next((user for user in pwd.getpwall() if user.pw_name == "mosquitto"), None)


def _broker_files(broker: SecureBroker, folder: Path, authority: Pair) -> Iterator[_File]:
    # Whoever sits at the broker's machine says localhost.
    hosts = tuple(dict.fromkeys((*broker.hosts, *LOCAL_HOSTS)))
    own = certify_host(authority, hosts)
    yield _File(folder / "ca" / "ca.key", authority.key, SECRET)
    yield _File(folder / "ca.crt", authority.certificate, OPEN)
    yield _File(_certificate(folder), own.certificate, OPEN)
    yield _File(folder / "broker" / "broker.key", own.key, SECRET)
    yield _File(folder / "mosquitto.conf", secure_settings(broker, folder).encode(), OPEN)
    yield _File(folder / "broker" / "acl", access(broker).encode(), SECRET)
    yield _File(folder / "tinyfleet-broker.service", unit(broker, folder).encode(), OPEN)


def _authority(broker: SecureBroker, folder: Path) -> Pair:
    certificate, key = folder / "ca.crt", folder / "ca" / "ca.key"
    if certificate.exists() or key.exists():
        return _read_pair(certificate, key)
    return make_authority(f"tinyfleet {broker.fleet}"[:64])


def _read_pair(certificate: Path, key: Path) -> Pair:
    for path in (certificate, key):
        if not path.exists():
            raise BrokerError(
                f"{path}: expected it beside its other half, got nothing; put it back, or remove "
                "both to make new ones"
            )
    return Pair(certificate.read_bytes(), key.read_bytes())


def _client_files(broker: SecureBroker, folder: Path, authority: Pair) -> Iterator[_File]:
    passwords = []
    for account in broker.accounts:
        own = folder / "clients" / account
        yield _File(own / "broker.toml", _table(broker, account).encode(), OPEN)
        yield _File(own / "ca.crt", authority.certificate, OPEN)
        if not broker.certificates:
            password = _password(own / "password")
            passwords.append(f"{account}:{hash_password(password, secrets.token_bytes(12))}\n")
            yield _File(own / "password", f"{password}\n".encode(), SECRET)
            continue
        certificate, key = own / "client.crt", own / "client.key"
        if certificate.exists() or key.exists():
            pair = _read_pair(certificate, key)
        else:
            pair = certify_client(authority, account)
        yield _File(certificate, pair.certificate, OPEN)
        yield _File(key, pair.key, SECRET)
    if passwords:
        yield _File(folder / "broker" / "passwords", "".join(passwords).encode(), SECRET)


def _password(path: Path) -> str:
    return path.read_text("utf-8").strip() if path.exists() else secrets.token_urlsafe(24)


def _table(broker: SecureBroker, account: str) -> str:
    """Return the `[broker]` table of an account's gateway.toml, in whose folder its files lie."""
    proof = (
        'certificate = "client.crt"\nkey = "client.key"'
        if broker.certificates
        else f'username = "{account}"\npassword-file = "password"'
    )
    return f'[broker]\nhost = "{broker.hosts[0]}"\nport = {broker.port}\nca = "ca.crt"\n{proof}\n'
