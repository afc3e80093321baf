"""The unidirectional GRPC stream, as Python's grpcio sees it, against a running tourbillon.

The program is in TOURBILLON_BIN. Messages are taken as bytes: what is in them, Rust tests show.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

import grpc

PATH = "/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume"
KEY = "key of the tests"


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Certificates of P-256 in a folder, made by OpenSSL."""

    def __init__(self, folder, name):
        self.cert, self.key = (f"{folder}/{name}.{ending}" for ending in ("pem", "key"))
        self.folder = folder
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    def issue(self, name):
        """The files of a certificate and of its key."""
        cert, key, request, extensions = (f"{self.folder}/{name}.{ending}" for ending in ("pem", "key", "csr", "ext"))
        with open(extensions, "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                "-days", "2", "-extfile", extensions, "-out", cert)
        return cert, key


def read(path):
    with open(path, "rb") as file:
        return file.read()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class WithServer(unittest.TestCase):
    """A running server; `uni_grpc` are options of its stream."""

    def uni_grpc(self):
        return {}

    def setUp(self):
        self.port, self.grpc_port = free_port(), free_port()
        options = {
            "http_server": {"address": "127.0.0.1", "port": self.port},
            "http_api": {"key": KEY},
            "health": {"enabled": True},
            "client": {"allow_anonymous_connect_without_token": True, "ping_interval": "9s"},
            "uni_grpc": {"enabled": True, "address": "127.0.0.1", "port": self.grpc_port,
                         "max_receive_message_size": 1000, **self.uni_grpc()},
        }
        file = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
        with file:
            json.dump(options, file)
        self.addCleanup(os.unlink, file.name)
        # Variables of ours would be options.
        environment = {name: text for name, text in os.environ.items()
                       if not name.startswith(("TOURBILLON_", "CENTRIFUGO_"))}
        self.server = subprocess.Popen([os.environ["TOURBILLON_BIN"], "-c", file.name], env=environment)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        self.wait_for_server()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")
        self.addCleanup(self.channel.close)

    def wait_for_server(self):
        for _ in range(200):
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1)
            except OSError:
                time.sleep(0.05)
        self.fail("the server does not start")

    def api(self, method, body):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{method}", json.dumps(body).encode(), {"X-API-Key": KEY})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def consume(self, message=b"", timeout=30):
        return self.channel.unary_stream(PATH)(message, timeout=timeout)

    @staticmethod
    def client(connected):
        """The client's identifier: the first field of the connect push, which is field 10."""
        assert connected[0] == 0x52, connected
        at = connected.index(b"\x0a\x24") + 2
        return connected[at:at + 36].decode()


class UniGrpc(WithServer):
    def test_pushes_come_until_the_server_ends_the_call(self):
        call = self.consume(b"\x22\x06python")
        client = self.client(next(call))
        self.api("subscribe", {"user": "", "client": client, "channel": "news"})
        self.assertEqual(next(call), b"\x12\x04news\x4a\x00")
        self.api("publish", {"channel": "news", "data": "n"})
        self.assertEqual(next(call), b'\x12\x04news\x22\x05\x22\x03"n"')
        self.api("disconnect", {"user": "", "client": client})
        self.assertIn(b"force disconnect", next(call))
        with self.assertRaises(StopIteration):
            next(call)
        self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_a_quiet_stream_is_pinged(self):
        call = self.consume()
        self.client(next(call))
        self.assertEqual(next(call), b"")
        call.cancel()

    def test_refusals_are_statuses(self):
        for message, code in [
            (b"\x0a\x05a", grpc.StatusCode.INVALID_ARGUMENT),
            (b"x" * 1001, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ]:
            with self.assertRaises(grpc.RpcError) as raised:
                next(self.consume(message))
            self.assertEqual(raised.exception.code(), code)
        with self.assertRaises(grpc.RpcError) as raised:
            next(self.channel.unary_stream("/other/Consume")(b"", timeout=30))
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_deadline_ends_the_call(self):
        call = self.consume(timeout=1)
        self.client(next(call))
        with self.assertRaises(grpc.RpcError) as raised:
            next(call)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_a_stop_is_told(self):
        call = self.consume()
        self.client(next(call))
        self.server.send_signal(signal.SIGTERM)
        self.assertIn(b"shutdown", next(call))
        with self.assertRaises(StopIteration):
            next(call)
        self.assertEqual(self.server.wait(timeout=30), 0)


@unittest.skipUnless(shutil.which("openssl"), "there is no openssl to make certificates with")
class Secure(WithServer):
    def uni_grpc(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.authority, self.clients, self.others = (
            Authority(folder, name) for name in ("authority", "clients", "others"))
        cert, key = self.authority.issue("server")
        return {"tls": {"enabled": True, "cert_pem": cert, "key_pem": key, "client_ca_pem": self.clients.cert}}

    def connect(self, shows=None):
        """A call of somebody who shows this certificate, or none."""
        cert, key = (read(file) for file in shows) if shows else (None, None)
        credentials = grpc.ssl_channel_credentials(read(self.authority.cert), key, cert)
        channel = grpc.secure_channel(f"localhost:{self.grpc_port}", credentials)
        self.addCleanup(channel.close)
        return channel.unary_stream(PATH)(b"", timeout=30)

    def test_who_shows_the_right_certificate_comes_in(self):
        call = self.connect(self.clients.issue("member"))
        client = self.client(next(call))
        self.api("disconnect", {"user": "", "client": client})
        self.assertIn(b"force disconnect", next(call))
        for shows in (None, self.others.issue("stranger")):
            with self.assertRaises(grpc.RpcError) as raised:
                next(self.connect(shows))
            self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)


if __name__ == "__main__":
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    suite = unittest.TestSuite(load(case) for case in (UniGrpc, Secure))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    # As Node's runner counts, which the run's report reads.
    print(f"# pass {result.testsRun - failed - len(result.skipped)}\n# fail {failed}\n# skipped {len(result.skipped)}")
    raise SystemExit(bool(failed))
