"""The unidirectional GRPC stream and the API over GRPC, as Python's grpcio sees them, against a running tourbillon.

The program is in TOURBILLON_BIN. There is no generated code: what is needed of Protobuf is here.
"""

import base64
import hashlib
import hmac
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
API = "/centrifugal.centrifugo.api.CentrifugoApi/"
KEY = "key of the tests"
SECRET = "a secret of the tests, at least 32 bytes long"
STREAM = {"history_size": 100, "history_ttl": "300s", "force_recovery": True, "presence": True,
          "join_leave": True, "force_push_join_leave": True}


def varint(number):
    """A number as Protobuf writes it."""
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def field(number, value):
    """A field of a message: a number, a text or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(message):
    """The fields of a message: all values of each, by number."""
    found, at = {}, 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = number()
        value = number()
        if tag & 7 == 2:
            at += value
            value = message[at - value:at]
        found.setdefault(tag >> 3, []).append(value)
    return found


def the(message, *path):
    """The field at the end of a path through messages; None if it is not there."""
    for step in path:
        values = fields(message).get(step) if message is not None else None
        message = values[-1] if values else None
    return message


def token(claims):
    """A token of the server's, signed with HMAC and SHA-256."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    signed = b".".join(part(json.dumps(value).encode()) for value in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (signed + b"." + part(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


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
        self.port, self.grpc_port, self.api_port = free_port(), free_port(), free_port()
        options = {
            "http_server": {"address": "127.0.0.1", "port": self.port},
            "http_api": {"key": KEY},
            "health": {"enabled": True},
            "client": {"allow_anonymous_connect_without_token": True, "ping_interval": "9s",
                       "token": {"hmac_secret_key": SECRET}},
            "channel": {"namespaces": [{"name": "stream", **STREAM}]},
            "uni_grpc": {"enabled": True, "address": "127.0.0.1", "port": self.grpc_port,
                         "max_receive_message_size": 1000, **self.uni_grpc()},
            "grpc_api": {"enabled": True, "address": "127.0.0.1", "port": self.api_port, "key": KEY,
                         "max_receive_message_size": 1000},
        }
        file = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
        with file:
            json.dump(options, file)
        self.addCleanup(os.unlink, file.name)
        self.options = file.name
        self.start_server()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")
        self.addCleanup(self.channel.close)

    def start_server(self):
        # Variables of ours would be options.
        environment = {name: text for name, text in os.environ.items()
                       if not name.startswith(("TOURBILLON_", "CENTRIFUGO_"))}
        self.server = subprocess.Popen([os.environ["TOURBILLON_BIN"], "-c", self.options], env=environment)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        self.wait_for_server()

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


class Listener:
    """A call of a user whose token gives him a channel. `since`: the position from which he recovers."""

    def __init__(self, test, user, channel, since=None):
        self.channel = channel
        asks = b""
        if since is not None:
            offset, epoch = since
            asks = field(3, 1) + field(6, epoch) + field(7, offset)
        request = field(1, token({"sub": user, "subs": {channel: {}}}))
        request += field(3, field(1, channel) + field(2, asks))
        self.call = test.consume(request)
        connected = the(next(self.call), 10)
        self.client, self.session = the(connected, 1).decode(), the(connected, 9).decode()
        entry = the(connected, 4)
        test.assertEqual(the(entry, 1).decode(), channel)
        self.subscription = the(entry, 2)
        self.epoch = the(self.subscription, 6).decode()
        recovered = fields(self.subscription).get(7, [])
        # What was asked, whether it could be had, and what it was.
        self.recovered = (the(self.subscription, 12), the(self.subscription, 8), [self.number(one) for one in recovered])

    @staticmethod
    def number(publication):
        return json.loads(the(publication, 4))["n"]

    def next(self, kind):
        """The next push that has this field; others are passed over."""
        while True:
            found = the(next(self.call), kind)
            if found is not None:
                return found

    def numbers(self, count):
        return [self.number(self.next(4)) for _ in range(count)]


class Matrix(WithServer):
    """What has to work over every transport. This one has no words for deltas."""

    channels = 0

    def fresh(self):
        Matrix.channels += 1
        return f"stream:{Matrix.channels}"

    def publish(self, channel, first, last):
        for n in range(first, last + 1):
            self.api("publish", {"channel": channel, "data": {"n": n, "text": "Größe 🛰️\n"}})

    def test_publications_arrive_complete_and_in_order(self):
        channel = self.fresh()
        listeners = [Listener(self, user, channel) for user in ("1", "2")]
        self.publish(channel, 1, 100)
        for listener in listeners:
            self.assertEqual(listener.numbers(100), list(range(1, 101)))

    def test_a_call_that_begins_where_another_ended_has_what_was_missed(self):
        channel = self.fresh()
        first = Listener(self, "cut", channel)
        self.assertEqual(first.recovered, (None, None, []))
        self.publish(channel, 1, 3)
        self.assertEqual(first.numbers(3), [1, 2, 3])
        first.call.cancel()
        self.publish(channel, 4, 20)
        second = Listener(self, "cut", channel, since=(3, first.epoch))
        self.assertEqual(second.recovered, (1, 1, list(range(4, 21))))
        self.publish(channel, 21, 21)
        self.assertEqual(second.numbers(1), [21])

    def test_presence_joins_and_leaves_tell_who_is_there(self):
        channel = self.fresh()
        stays, comes = Listener(self, "stays", channel), Listener(self, "comes", channel)
        joined = stays.next(5)
        while the(joined, 1, 1) != b"comes":
            joined = stays.next(5)
        self.assertEqual(the(joined, 1, 2).decode(), comes.client)
        present = self.api("presence", {"channel": channel})["result"]["presence"]
        self.assertEqual({client: info["user"] for client, info in present.items()},
                         {stays.client: "stays", comes.client: "comes"})
        comes.call.cancel()
        self.assertEqual(stays.next(6), joined)

    def test_a_disconnect_is_the_last_push(self):
        told = Listener(self, "told", self.fresh())
        why = {"code": 4501, "reason": "enough"}
        self.api("disconnect", {"user": "told", "session": told.session, "disconnect": why})
        self.assertEqual(told.next(11), field(1, 4501) + field(2, "enough"))
        with self.assertRaises(StopIteration):
            next(told.call)
        self.assertEqual(told.call.code(), grpc.StatusCode.OK)

    def test_a_server_that_ends_says_so_and_the_next_one_takes_over(self):
        channel = self.fresh()
        first = Listener(self, "1", channel)
        self.publish(channel, 1, 3)
        self.assertEqual(first.numbers(3), [1, 2, 3])
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(the(first.next(11), 1), 3001)
        with self.assertRaises(StopIteration):
            next(first.call)
        self.assertEqual(self.server.wait(timeout=30), 0)
        self.start_server()
        self.publish(channel, 1, 4)
        # A stream in memory is another one now, and whoever knew the other is told.
        second = Listener(self, "1", channel, since=(3, first.epoch))
        self.assertEqual((second.recovered, second.epoch == first.epoch), ((1, None, []), False))
        self.publish(channel, 5, 5)
        self.assertEqual(second.numbers(1), [5])


class GrpcApi(WithServer):
    """The API over GRPC, whose messages are put together here from the numbers of its schema."""

    def ask(self, method, message=b"", metadata=(("authorization", f"apikey {KEY}"),)):
        channel = grpc.insecure_channel(f"127.0.0.1:{self.api_port}")
        self.addCleanup(channel.close)
        return channel.unary_unary(API + method)(message, timeout=30, metadata=metadata)

    def refused(self, *arguments, **named):
        with self.assertRaises(grpc.RpcError) as raised:
            self.ask(*arguments, **named)
        return raised.exception

    def test_what_is_published_reaches_clients_and_is_kept(self):
        listener = Listener(self, "u", "stream:api")
        # channel, data, tags
        message = field(1, "stream:api") + field(2, '{"n":1}') + field(5, field(1, "k") + field(2, "v"))
        result = the(self.ask("Publish", message), 2)
        self.assertEqual((the(result, 1), the(result, 2).decode()), (1, listener.epoch))
        publication = listener.next(4)
        self.assertEqual((listener.number(publication), the(publication, 7, 2)), (1, b"v"))
        page = the(self.ask("History", field(1, "stream:api") + field(2, 10)), 2)
        self.assertEqual((the(page, 1, 2), the(page, 3)), (b'{"n":1}', 1))
        presence = the(self.ask("Presence", field(1, "stream:api")), 2)
        self.assertEqual((the(presence, 1, 1).decode(), the(presence, 1, 2, 1)), (listener.client, b"u"))
        self.assertEqual(the(self.ask("Info"), 2, 1, 4), 1)
        self.assertEqual(the(self.ask("Disconnect", field(1, "u")), 2), b"")
        self.assertEqual(the(listener.next(11), 1), 3503)

    def test_a_batch_has_an_answer_for_each_command(self):
        publish = field(4, field(1, "stream:batch") + field(2, "1"))
        nowhere = field(4, field(1, "nowhere:x") + field(2, "1"))
        devices = field(25, b"")
        answer = self.ask("Batch", b"".join(field(1, command) for command in (publish, nowhere, devices)))
        published, refused, unknown = fields(answer)[1]
        self.assertEqual((the(published, 4, 1), the(refused, 2, 1), the(unknown, 2, 1)), (1, 102, 104))

    def test_who_shows_no_key_is_refused(self):
        for metadata in ((), (("authorization", "apikey other"),), (("authorization", KEY),)):
            self.assertEqual(self.refused("Info", metadata=metadata).code(), grpc.StatusCode.UNAUTHENTICATED)

    def test_errors_are_messages_or_statuses(self):
        message = field(1, "nowhere:x") + field(2, "1")
        self.assertEqual(the(self.ask("Publish", message), 1, 1), 102)
        metadata = (("authorization", f"apikey {KEY}"), ("x-centrifugo-error-mode", "transport"))
        refused = self.refused("Publish", message, metadata)
        self.assertEqual((refused.code(), refused.details()), (grpc.StatusCode.NOT_FOUND, "unknown channel"))
        details = dict(refused.trailing_metadata())["grpc-status-details-bin"]
        self.assertEqual(the(details, 3, 1), b"type.googleapis.com/centrifugal.centrifugo.api.Error")
        self.assertEqual(the(details, 3, 2, 1), 102)
        large = field(1, "stream:x") + field(2, "x" * 1000)
        self.assertEqual(self.refused("Publish", large).code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(self.refused("DeviceList").code(), grpc.StatusCode.UNIMPLEMENTED)


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
    suite = unittest.TestSuite(load(case) for case in (UniGrpc, Matrix, GrpcApi, Secure))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    # As Node's runner counts, which the run's report reads.
    print(f"# pass {result.testsRun - failed - len(result.skipped)}\n# fail {failed}\n# skipped {len(result.skipped)}")
    raise SystemExit(bool(failed))
