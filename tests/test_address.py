"""Whether a service is well, whatever answers at its address."""

import socket
from pathlib import Path
from threading import Thread

from tinyfleet.address import answers


def test_another_kind_of_service_is_not_a_healthy_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.recv(1024)

        thread = Thread(target=greet)
        thread.start()
        assert not answers(f"http://127.0.0.1:{server.getsockname()[1]}/health")
        thread.join()


def test_a_file_without_certificates_vouches_for_nobody(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")

    assert not answers("https://127.0.0.1:1/health", tmp_path / "ca.crt")
