"""The proxies of examples/ do what their files say."""

import os
import socket
import ssl
import time
import unittest

from client import Client, Refused
from setup import PATIENCE, Site, example, gateway_tcp, http


def haproxy(folder, addresses):
    replaced = addresses | {
        "/etc/haproxy/site.pem": str(folder / "site.pem"),
        # It does not start with fewer descriptors than that needs.
        "maxconn 100000": "maxconn 1000",
    }
    path = example("haproxy.cfg", folder, replaced)
    return [os.environ["TEST_HAPROXY"], "-db", "-f", path]


def nginx(folder, addresses):
    replaced = addresses | {
        "/etc/nginx/site.crt": str(folder / "site.crt"),
        "/etc/nginx/site.key": str(folder / "site.key"),
        "worker_rlimit_nofile 200000;": "worker_rlimit_nofile 1000;",
        "worker_connections 100000;": "worker_connections 400;",
        # Where one who is not root may write.
        "http {": f"pid {folder}/nginx.pid;\nhttp {{\n"
        + "".join(
            f"    {kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
        ),
    }
    path = example("nginx.conf", folder, replaced)
    return [os.environ["TEST_NGINX"], "-e", "stderr", "-c", path, "-g", "daemon off;"]


def haproxy_tcp(send):
    """HAProxy that sends this version of the PROXY protocol."""

    def command(folder, addresses):
        replaced = addresses | {"maxconn 100000": "maxconn 1000", "7001 send-proxy-v2": f"7001 {send}"}
        # The gateway's address goes last: it stands within the text that is replaced before.
        replaced["127.0.0.1:7001"] = replaced.pop("127.0.0.1:7001")
        path = example("haproxy-tcp.cfg", folder, replaced)
        return [os.environ["TEST_HAPROXY"], "-db", "-f", path]

    return command


class Example:
    """What the proxies that speak HTTP show."""

    @classmethod
    def setUpClass(cls):
        cls.site = Site(cls.proxy)
        cls.addClassCleanup(cls.site.stop)

    def test_1_an_id_always_reaches_the_same_gateway(self):
        held = {}
        for i in range(60):
            with Client(self.site, f"id-{i}"):
                held[i] = self.site.holder(f"id-{i}")
        self.assertEqual(set(held.values()), {0, 1, 2}, "not all are used")
        # Path and query behind the id change nothing.
        for i in range(60):
            with Client(self.site, f"id-{i}/room/{i}?token={i}"):
                self.assertEqual(self.site.holder(f"id-{i}"), held[i])

    def test_2_messages_are_echoed_through_tls(self):
        with Client(self.site, "echo") as client:
            for text in ("hello", "κόσμε", "x" * 200_000):
                client.send(text)
                self.assertEqual(client.receive(), text)

    def test_3_the_clients_address_arrives_and_nothing_it_makes_up(self):
        fields = ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Forwarded-Proto: no"]
        with Client(self.site, "from", fields, source="127.0.0.2"):
            _, told = http(self.site.pushes_base(), "GET", "from")
            self.assertIn(b'"address":"127.0.0.2"', told)
        seen = self.site.api.connects["/from"]
        self.assertEqual(seen.get_all("X-Forwarded-For"), ["127.0.0.2, 127.0.0.1"])
        self.assertEqual(seen.get_all("X-Forwarded-Proto"), ["https"])
        self.assertEqual(seen.get_all("X-Forwarded-Host"), ["example.org"])
        self.assertNotIn("Forwarded", seen)

    def test_4_a_push_finds_the_client_from_inside_only(self):
        inside = self.site.pushes_base()
        for i in range(20):
            with Client(self.site, f"pushed-{i}/room?a=b") as client:
                # While it is connecting a push is queued: 202.
                client.send("here")
                self.assertEqual(client.receive(), "here")
                self.assertEqual(http(inside, "POST", f"pushed-{i}", b"news"), (200, b"ok"))
                self.assertEqual(client.receive(), "news")
        self.assertEqual(http(inside, "POST", "nobody", b"news")[0], 404)
        self.assertEqual(http(inside, "POST", "nobody", b"news", token=None)[0], 401)
        outside = f"https://127.0.0.1:{self.site.clients[1]}"
        for method in ("POST", "DELETE"):
            self.assertEqual(http(outside, method, "pushed", b"", tls=self.site.tls)[0], 405)
        # Counters and questions are for inside too.
        for target in ("", "pushed"):
            self.assertEqual(http(outside, "GET", target, tls=self.site.tls)[0], 400)
        self.assertIn(b"connections_opened ", http(inside, "GET", "")[1])

    def test_5_with_a_gateway_less_only_its_clients_move(self):
        held = {}
        for i in range(30):
            with Client(self.site, f"move-{i}"):
                held[i] = self.site.holder(f"move-{i}")
        self.site.gateways[1].stop(kill=True)
        for i in range(30):
            with self.connected(f"move-{i}") as client:
                now = self.site.holder(f"move-{i}")
                if held[i] == 1:
                    self.assertNotEqual(now, 1)
                else:
                    self.assertEqual(now, held[i])
                client.send("here")
                self.assertEqual(client.receive(), "here")
                pushed = http(self.site.pushes_base(), "POST", f"move-{i}", b"still")
                self.assertEqual(pushed, (200, b"ok"))
                self.assertEqual(client.receive(), "still")

    def connected(self, target):
        """As clients do: again and again, until the proxy has noticed."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return Client(self.site, target)
            except Refused:
                if time.monotonic() > until:
                    raise


class HAProxy(Example, unittest.TestCase):
    proxy = staticmethod(haproxy)


class Nginx(Example, unittest.TestCase):
    proxy = staticmethod(nginx)


class Passing:
    """A proxy that passes bytes on, and says by the PROXY protocol whose they are."""

    @classmethod
    def setUpClass(cls):
        proxy = haproxy_tcp(cls.send)
        cls.site = Site(proxy, gateway_tcp, count=1, ends=("0.0.0.0:443",))
        cls.addClassCleanup(cls.site.stop)

    def test_1_the_clients_address_arrives_and_nothing_it_makes_up(self):
        fields = ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Forwarded-Proto: no"]
        inside = f"http://{self.site.gateways[0].push_address}"
        with Client(self.site, "from", fields, source="127.0.0.2") as client:
            client.send("here")
            self.assertEqual(client.receive(), "here")
            _, told = http(inside, "GET", "from", token=None)
            self.assertIn(b'"address":"127.0.0.2"', told)
            self.assertEqual(http(inside, "POST", "from", b"news", token=None), (200, b"ok"))
            self.assertEqual(client.receive(), "news")
        seen = self.site.api.connects["/from"]
        self.assertEqual(seen.get_all("X-Forwarded-For"), ["127.0.0.2"])
        self.assertEqual(seen.get_all("X-Forwarded-Proto"), ["https"])
        self.assertNotIn("Forwarded", seen)

    def test_2_messages_are_echoed_through_tls(self):
        with Client(self.site, "echo") as client:
            for text in ("hello", "x" * 200_000):
                client.send(text)
                self.assertEqual(client.receive(), text)

    def test_3_past_the_proxy_nobody_comes_in(self):
        host, port = self.site.gateways[0].address.split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as direct:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.site.tls.wrap_socket(direct, server_hostname="127.0.0.1")


class PassingV2(Passing, unittest.TestCase):
    send = "send-proxy-v2"


class PassingV1(Passing, unittest.TestCase):
    send = "send-proxy"
