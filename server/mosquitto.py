"""What Mosquitto reads: its configuration, for one machine or to face a network."""

import base64
import getpass
import hashlib
import ipaddress
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfleet.address import is_local
from tinyfleet.errors import BrokerError, WireError
from tinyfleet.topics import SERVER, check_name, topic_filter

PROGRAMS = (
    "mosquitto",
    "/usr/sbin/mosquitto",
    "/usr/local/sbin/mosquitto",
    "/opt/homebrew/sbin/mosquitto",
)
SERVER_ACCOUNT = "server"
SECURE_PORT = 8883
GATEWAY_WRITES = ("birth", "death", "state", "update", "refusal", "log")
SERVER_WRITES = ("assignment", "ack")
GATEWAY_READS = (*SERVER_WRITES, "birth")  # its own, some of which it may have to clear
MESSAGE_BYTES = 2 * 1024 * 1024
QUEUED_BYTES = 256 * 1024 * 1024
PASSWORD_ROUNDS = 20_000

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


def find_mosquitto() -> str | None:
    """Return Mosquitto's program, None where it is not installed.

    Debian puts it into /usr/sbin, which is not on everybody's path.
    """
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@dataclass(frozen=True)
class SecureBroker:
    """What a secure broker is to be.

    Attributes:
        fleet: name of the fleet.
        gateways: names of its gateways; each becomes an account.
        hosts: names and addresses under which the broker is reached; clients use the first. One
            that is reached as localhost alone listens there alone.
        port: where it listens.
        certificates: accounts are proved by certificates of their own instead of passwords.

    Raises:
        BrokerError: a name cannot stand in a topic, is taken or is given twice; no such port.
    """

    fleet: str
    gateways: tuple[str, ...]
    hosts: tuple[str, ...] = ("localhost",)
    port: int = SECURE_PORT
    certificates: bool = False

    def __post_init__(self) -> None:
        try:
            check_name("--fleet", self.fleet)
            for name in self.gateways:
                check_name("--gateway", name)
        except WireError as error:
            raise BrokerError(str(error)) from None
        for name in self.gateways:
            if name in (SERVER, SERVER_ACCOUNT) or name.startswith("."):
                raise BrokerError(f"--gateway: expected a name that is free, got {name!r}")
        if not self.gateways or len(set(self.gateways)) < len(self.gateways):
            raise BrokerError(
                f"--gateway: expected different names, got {', '.join(self.gateways) or 'none'}"
            )
        if not self.hosts or not all(map(_is_host, self.hosts)):
            raise BrokerError(
                "--host: expected the name or address under which clients reach the broker, got "
                f"{', '.join(map(repr, self.hosts))[:120] or 'none'}"
            )
        if not 0 < self.port < 65536:
            raise BrokerError(f"--port: expected 1 to 65535, got {self.port}")

    @property
    def accounts(self) -> tuple[str, ...]:
        """The server's account, then one for each gateway."""
        return (SERVER_ACCOUNT, *self.gateways)


def local_settings(folder: Path, host: str, port: int) -> str:
    """Return a configuration for one machine; a queue takes what 10,000 devices say at once."""
    # Started by root, Mosquitto would become a user who may not write into the folder.
    user = ["user root"] if os.geteuid() == 0 else []
    return "\n".join(
        [
            f"listener {port} {host}",
            "allow_anonymous true",
            *user,
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {folder}/",
            "max_inflight_messages 100",
            "max_queued_messages 100000",
            "max_queued_bytes 268435456",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "",
        ]
    )


def hash_password(password: str, salt: bytes) -> str:
    """Return what Mosquitto's password file holds: PBKDF2 with SHA-512, marked 7.

    >>> hash_password("secret", b"salt")[:16]
    '$7$20000$c2FsdA='
    """
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, PASSWORD_ROUNDS)
    parts = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"$7${PASSWORD_ROUNDS}${'$'.join(parts)}"


def secure_settings(broker: SecureBroker, folder: Path) -> str:
    """Return the configuration of Mosquitto 2, whose files lie in `folder`."""
    proof = (
        "require_certificate true\nuse_identity_as_username true"
        if broker.certificates
        else f"password_file {folder}/broker/passwords"
    )
    return f"""\
# Written by `tinyfleet broker config` for the fleet {broker.fleet}.
per_listener_settings false
listener {broker.port}{_bind(broker.hosts)}
allow_anonymous false
acl_file {folder}/broker/acl
{proof}
# A client is whom its account says, and cannot take over the session of another one.
use_username_as_clientid true

cafile {folder}/ca.crt
certfile {folder}/broker/broker.crt
keyfile {folder}/broker/broker.key
tls_version tlsv1.2
ciphers ECDHE+AESGCM:ECDHE+CHACHA20

# Larger messages are dropped, and so is what an absent client's queue cannot hold.
message_size_limit {MESSAGE_BYTES}
max_connections 1000
max_inflight_messages 100
max_queued_messages 100000
max_queued_bytes {QUEUED_BYTES}
persistent_client_expiration 14d
set_tcp_nodelay true

persistence true
persistence_location {folder}/data/
autosave_interval 300

log_dest stderr
log_type error
log_type warning
log_type notice
"""


def _bind(hosts: Sequence[str]) -> str:
    return " 127.0.0.1" if all(map(is_local, hosts)) else ""


def _is_host(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return _HOST_NAME.fullmatch(host) is not None


def access(broker: SecureBroker) -> str:
    """Return who may read and write which topics; what is not listed is forbidden."""
    fleet = broker.fleet
    rules = [f"user {SERVER_ACCOUNT}"]
    rules += [f"topic read {topic_filter(fleet, topic=name)}" for name in GATEWAY_WRITES]
    rules += [f"topic write {topic_filter(fleet, topic=name)}" for name in SERVER_WRITES]
    model = topic_filter(fleet, SERVER, SERVER, "model")
    rules.append(f"topic write {model}")
    for gateway in broker.gateways:
        rules += ["", f"user {gateway}"]
        own = {name: topic_filter(fleet, gateway, topic=name) for name in GATEWAY_WRITES}
        rules += [f"topic write {topic}" for topic in own.values()]
        for name in GATEWAY_READS:
            rules.append(f"topic read {topic_filter(fleet, gateway, topic=name)}")
        rules.append(f"topic read {model}")
    return "\n".join([*rules, ""])


def unit(broker: SecureBroker, folder: Path) -> str:
    """Return a systemd unit that runs the broker with as few rights as it needs."""
    place = str(folder).replace("%", "%%")
    mosquitto = find_mosquitto() or "/usr/sbin/mosquitto"
    user = "mosquitto" if os.geteuid() == 0 else getpass.getuser()
    return f"""\
[Unit]
Description=MQTT broker of the fleet {broker.fleet}
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
User={user}
ExecStart={mosquitto} -c "{place}/mosquitto.conf"
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
UMask=0077
ReadWritePaths="{place}/data"
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""
