"""An API, three gateways from the example's file, and a proxy in front of them from its own."""

import collections
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
TOKEN = "token-of-the-api"
PATIENCE = 30


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def example(name, into, replaced):
    """Writes an example with other addresses and paths; each that is replaced must stand in it."""
    text = (EXAMPLES / name).read_text()
    for old, new in replaced.items():
        assert old in text, f"{old} stands no more in examples/{name}"
        text = text.replace(old, new)
    path = into / name
    path.write_text(text)
    return path


class Api(ThreadingHTTPServer):
    """Accepts every client, echoes, and keeps who connected with which fields."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.connects = {}
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.connects[self.path] = self.headers
        self.answer(b"ok")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_DELETE(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(b"")


def gateway_http(folder):
    """A gateway's file, with what is to be replaced in it: behind a proxy that speaks HTTP."""
    token = folder / "token"
    token.write_text(TOKEN)
    return "gateway.toml", {"/etc/fetchway/push-token": str(token)}


def gateway_tcp(folder):
    """The same behind a proxy that passes bytes on."""
    site = str(folder.parent / "site")
    return "gateway-tcp.toml", {
        "/etc/fetchway/site": site,
        "127.0.0.1:7002": "127.0.0.1:0",
    }


class Gateway:
    """`fetchway gateway` with an example's file."""

    def __init__(self, api, folder, kind):
        folder.mkdir()
        name, replaced = kind(folder)
        replaced["http://127.0.0.1:8000/"] = f"http://{api}/"
        config = example(name, folder, replaced)
        args = ["gateway", "--config", str(config), "--log-format", "json"]
        args += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        self.child = subprocess.Popen(
            [os.environ["FETCHWAY_BINARY"], *args], env={}, stderr=subprocess.PIPE, text=True
        )
        said = []
        for line in self.child.stderr:
            said.append(line)
            fields = json.loads(line).get("fields", {})
            if address := fields.get("addr"):
                self.address, self.push_address = address, fields.get("push_addr")
                break
        else:
            raise RuntimeError("the gateway ended:\n" + "".join(said))
        # What it still says is read, or it would block on a full pipe.
        self.reader = threading.Thread(target=collections.deque, args=(self.child.stderr, 0))
        self.reader.start()

    def stop(self, kill=False):
        self.child.kill() if kill else self.child.terminate()
        self.child.wait()
        self.reader.join()
        self.child.stderr.close()


def certificate(folder):
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    crt, key = folder / "site.crt", folder / "site.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", crt],
        check=True,
        capture_output=True,
    )
    (folder / "site.pem").write_bytes(crt.read_bytes() + key.read_bytes())
    return crt


class Site:
    """All of it. `proxy` is a function: folder, replacements → the proxy's command line. `kind` is
    that of its gateways, `ends` what the proxy's file has as its own addresses: for clients, and for
    pushes, if those come through it."""

    def __init__(self, proxy, kind=gateway_http, count=3, ends=("0.0.0.0:443", "127.0.0.1:7080")):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fetchway-proxies-"))
        self.api = Api()
        self.tls = ssl.create_default_context(cafile=certificate(self.folder))
        folders = [self.folder / f"g{i}" for i in range(count)]
        self.gateways = [Gateway(self.api.address(), folder, kind) for folder in folders]
        listening = [("127.0.0.1", free_port()) for _ in ends]
        self.clients, self.pushes = listening[0], listening[-1]
        addresses = {f"127.0.0.1:700{i + 1}": g.address for i, g in enumerate(self.gateways)}
        addresses |= {end: f"127.0.0.1:{port}" for end, (_, port) in zip(ends, listening)}
        self.said = open(self.folder / "said", "w+")
        self.child = subprocess.Popen(
            proxy(self.folder, addresses), stdout=self.said, stderr=subprocess.STDOUT
        )
        try:
            for address in listening:
                self.until_listening(address)
        except BaseException:
            self.stop()
            raise

    def until_listening(self, address):
        """Neither proxy tells when it is there, so it is tried again and again."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(address).close()
            except ConnectionRefusedError:
                if self.child.poll() is not None or time.monotonic() > until:
                    self.said.seek(0)
                    raise RuntimeError("the proxy does not listen:\n" + self.said.read())
                time.sleep(0.01)

    def pushes_base(self):
        return f"http://127.0.0.1:{self.pushes[1]}"

    def holder(self, client):
        """Which gateway has a client: each that runs is asked itself."""
        asked = [
            i
            for i, gateway in enumerate(self.gateways)
            if gateway.child.poll() is None
            and http(f"http://{gateway.address}", "GET", client)[0] == 200
        ]
        assert len(asked) == 1, f"{client} is with {asked}"
        return asked[0]

    def stop(self):
        self.child.terminate()
        self.child.wait()
        self.said.close()
        for gateway in self.gateways:
            if gateway.child.poll() is None:
                gateway.stop()
        self.api.stop()
        shutil.rmtree(self.folder)


def http(base, method, path, body=None, token=TOKEN, tls=None):
    """Status and body of a request."""
    request = urllib.request.Request(f"{base}/{path}", data=body, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=tls) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()
