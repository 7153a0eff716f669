"""fetchway.v1 by a second implementation: the vectors, and a real node.

`cargo xtask test` runs it. By hand: FETCHWAY_BINARY=target/debug/fetchway python3 -m unittest, here.
"""

import json
import pathlib
import unittest

import fetchway_v1 as v1
from client import Client
from node import Node, Origin, binary, pattern, refusing_url
from websocket import BINARY, TEXT, Closed, WebSocket

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "vectors.json"


class Vectors(unittest.TestCase):
    def test_every_vector(self):
        vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
        self.assertGreater(len(vectors), 60)
        for vector in vectors:
            with self.subTest(vector["name"]):
                data = bytes.fromhex(vector["hex"])
                if "error" in vector:
                    with self.assertRaises(v1.Malformed):
                        v1.decode(data)
                    continue
                self.assertEqual(v1.decode(data), [vector["frame"]])
                if not vector.get("decodeOnly"):
                    self.assertEqual(v1.encode(vector["frame"]).hex(), vector["hex"])

    def test_several_frames_in_a_message(self):
        vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
        good = [vector for vector in vectors if "frame" in vector]
        data = bytes.fromhex("".join(vector["hex"] for vector in good))
        self.assertEqual(v1.decode(data), [vector["frame"] for vector in good])


class RealNode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not binary():
            raise RuntimeError("FETCHWAY_BINARY is not set: run these tests by `cargo xtask test`")
        cls.node = Node(binary())
        cls.addClassCleanup(cls.node.stop)

    def setUp(self):
        self.origin = Origin()
        self.addCleanup(self.origin.stop)
        self.client = Client(self.node.address)
        self.addCleanup(lambda: self.client.close())

    def get(self, path, **more):
        return self.client.finish(self.client.fetch(self.origin.url(path), **more))

    def test_a_fetch(self):
        fetch = self.get("/hello", tag=b"\x00\xffany bytes")
        self.assertEqual((fetch.head["status"], fetch.body), (200, b"hello, fetchway"))
        self.assertEqual(bytes.fromhex(fetch.head["tag"]), b"\x00\xffany bytes")
        self.assertEqual(fetch.head["url"], "", "the URL that was asked for")
        fields = fetch.head["fields"]
        self.assertIn(["set-cookie", "a=1"], fields)
        self.assertIn(["set-cookie", "b=2"], fields)
        self.assertIn(["x-bytes", "caf\xe9"], fields)

    def test_many_at_once(self):
        fetches = [self.client.fetch(self.origin.url("/hello"), tag=b"%d" % n) for n in range(50)]
        for n, fetch in enumerate(fetches):
            self.client.finish(fetch)
            self.assertEqual(bytes.fromhex(fetch.head["tag"]), b"%d" % n)
            self.assertEqual(fetch.body, b"hello, fetchway")

    def test_what_is_not_found_is_an_answer(self):
        fetch = self.get("/none")
        self.assertEqual((fetch.head["status"], fetch.body), (404, b"nothing here"))

    def test_a_streamed_upload(self):
        fetch = self.client.fetch(self.origin.url("/echo"), method="POST", end=False)
        body = pattern(300_000)
        for at in range(0, len(body), 7_000):
            self.client.data(fetch, body[at : at + 7_000])
        self.client.data(fetch, b"", end=True)
        self.client.finish(fetch)
        self.assertEqual(fetch.body, body)
        self.assertIn(["x-method", "POST"], fetch.head["fields"])

    def test_a_refused_connection(self):
        fetch = self.client.finish(self.client.fetch(refusing_url(), tag=b"which"))
        self.assertEqual(fetch.reset["name"], "connection_refused")
        self.assertEqual(bytes.fromhex(fetch.reset["tag"]), b"which")
        self.assertTrue(fetch.reset["detail"])
        self.assertEqual(self.get("/hello").head["status"], 200, "the session goes on")

    def test_a_url_that_is_none(self):
        fetch = self.client.finish(self.client.fetch("ftp://origin.example/", tag=b"odd"))
        self.assertEqual(fetch.reset["name"], "invalid_request")
        self.assertEqual(bytes.fromhex(fetch.reset["tag"]), b"odd")

    def test_a_long_body_in_small_windows(self):
        fetch = self.get("/bytes?300000")
        self.assertEqual(fetch.body, pattern(300_000))
        self.assertGreater(self.client.limits_sent, 300_000 // v1.MAX_PAYLOAD)

    def test_a_cancel_reaches_the_origin(self):
        fetch = self.client.fetch(self.origin.url("/held"))
        self.assertTrue(self.origin.holding.wait(30))
        self.client.cancel(fetch)
        self.assertTrue(self.origin.left.wait(30))
        self.assertEqual(self.get("/hello").head["status"], 200, "the session goes on")

    def test_a_ping(self):
        self.client.ping(b"8 bytes!")
        self.client.until(lambda: self.client.pongs)
        self.assertEqual(self.client.pongs, [b"8 bytes!"])

    def test_a_body_goes_on_after_its_socket_was_cut(self):
        fetch = self.client.fetch(self.origin.url("/parts?300000"))
        self.client.until(lambda: len(fetch.body) > 100_000)
        token = self.client.token
        for _ in range(3):
            self.client.cut()
            self.client.connect()
            self.assertIn("received", self.client.hello, self.client.hello.get("refused"))
        self.assertNotEqual(self.client.token, token, "each resume gives a new token")
        self.origin.release.set()
        self.client.finish(fetch)
        self.assertEqual(fetch.body, pattern(300_000))
        self.assertEqual(self.origin.count("/parts?300000"), 1)

    def test_an_upload_goes_on_after_its_socket_was_cut(self):
        fetch = self.client.fetch(self.origin.url("/echo"), method="POST", end=False)
        body = pattern(200_000)
        self.client.data(fetch, body[:90_000])
        self.client.cut()
        self.client.connect()
        self.client.data(fetch, body[90_000:], end=True)
        self.client.finish(fetch)
        self.assertEqual(fetch.body, body)
        self.assertEqual(self.origin.count("/echo"), 1)

    def test_a_token_that_was_never_given(self):
        self.client.token = "00" * 16
        self.client.cut()
        self.client.connect()
        self.assertNotIn("received", self.client.hello)
        self.assertTrue(self.client.hello["refused"])

    def closed(self, *messages):
        """The code with which a socket is closed that says `messages`."""
        socket = WebSocket(self.node.address, ["fetchway.v1", "fetchway.json"])
        self.assertEqual(socket.protocol, "fetchway.v1")
        for message in messages:
            if isinstance(message, str):
                socket.send(message.encode(), TEXT)
            else:
                socket.send(message, BINARY)
        with self.assertRaises(Closed) as caught:
            while True:
                socket.receive()
        socket.release()
        return caught.exception.code

    def test_close_codes(self):
        hello = v1.encode({"type": "HELLO"})
        ping = v1.encode({"type": "PING", "payload": ""})
        self.assertEqual(self.closed(hello, "{}"), 1003)
        self.assertEqual(self.closed(hello, ping * 40_000), 1009)
        self.assertEqual(self.closed(hello, b"\x03"), 4400)
        self.assertEqual(self.closed(ping), 4400)
        self.assertEqual(self.closed(hello + hello), 4400)


if __name__ == "__main__":
    unittest.main()
