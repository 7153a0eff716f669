"""A real node, and an origin for it to fetch from."""

import json
import os
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Node:
    """`fetchway serve` on ports that the system chose, without an environment."""

    def __init__(self, binary):
        args = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        args += ["--log-format", "json", "--allow-net", "127.0.0.0/8"]
        self.child = subprocess.Popen(
            [binary, *args], env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines = []
        for line in self.child.stdout:
            self.lines.append(line)
            if address := address_in(line):
                host, _, port = address.rpartition(":")
                self.address = (host, int(port))
                break
        else:
            raise RuntimeError("the node ended:\n" + "".join(self.lines))
        # What it still says is read, or it would block on a full pipe.
        self.reader = threading.Thread(target=self.lines.extend, args=(self.child.stdout,))
        self.reader.start()

    def stop(self):
        self.child.terminate()
        code = self.child.wait()
        self.reader.join()
        self.child.stdout.close()
        assert code == 0, f"the node ended with {code}:\n" + "".join(self.lines)


def address_in(line):
    try:
        return json.loads(line)["fields"].get("addr")
    except (ValueError, KeyError, AttributeError):
        return None


def refusing_url():
    """An address that was listened on, and is no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


def pattern(n):
    """Bytes that tell where they belong."""
    return b"".join(i.to_bytes(4, "big") for i in range(n // 4 + 1))[:n]


class Origin(ThreadingHTTPServer):
    daemon_threads = True
    # A connection that finds no room in the queue is only tried again after a second.
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        # Requests by path; what /held and /parts wait for; whose client went away.
        self.seen, self.lock = [], threading.Lock()
        self.release, self.holding, self.left = (threading.Event() for _ in range(3))
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def count(self, path):
        with self.lock:
            return self.seen.count(path)

    def stop(self):
        self.release.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        with self.server.lock:
            self.server.seen.append(self.path)
        path, _, query = self.path.partition("?")
        route = getattr(self, "at_" + path[1:], None)
        if route:
            route(query)
        else:
            self.answer(404, b"nothing here")

    do_POST = do_GET

    def answer(self, status, body, fields=()):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def at_hello(self, _):
        fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Bytes", "caf\xe9")]
        self.answer(200, b"hello, fetchway", fields)

    def at_bytes(self, query):
        self.answer(200, pattern(int(query)))

    def at_echo(self, _):
        self.answer(200, self.read_body(), [("X-Method", self.command)])

    def at_held(self, _):
        """Answers nothing; waits for the client to go away."""
        self.server.holding.set()
        if self.connection.recv(1) == b"":
            self.server.left.set()
        self.close_connection = True

    def at_parts(self, query):
        """Half of a body, and the rest when it is released."""
        body = pattern(int(query))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.server.release.wait(30)
        self.wfile.write(body[len(body) // 2 :])

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body


def binary():
    """The node that is tested, or None."""
    return os.environ.get("FETCHWAY_BINARY")
