"""A small client of fetchway.v1, by docs/protocol.md: one thread, one socket, a session that resumes."""

import fetchway_v1 as v1
from websocket import WebSocket

# The least that may be said, so that limits have to be raised.
STREAM_WINDOW, SESSION_WINDOW = 16_384, 65_536
PIECE = 16_000


class Fetch:
    """What is known of one stream."""

    def __init__(self, stream):
        self.stream = stream
        self.head = self.reset = self.trailers = None
        self.body = b""
        self.stopped = self.over = False
        # Of ours: sent and allowed. Of the relay's: received and allowed.
        self.sent, self.limit = 0, None
        self.received, self.allowed = 0, STREAM_WINDOW
        # A block that goes on in MORE frames.
        self.block = None


class Client:
    def __init__(self, address):
        self.address = address
        self.last = self.received = self.acked = 0
        self.token = None
        self.kept = []
        self.sent, self.limit = 0, 65_536
        self.taken, self.allowed = 0, SESSION_WINDOW
        self.stream_limit = 16_384
        self.fetches, self.pongs, self.limits_sent = {}, [], 0
        self.connect()

    def connect(self):
        """Opens a socket, says HELLO, and waits for the relay's."""
        self.socket = WebSocket(self.address, ["fetchway.v1"])
        assert self.socket.protocol == "fetchway.v1", self.socket.protocol
        hello = {"type": "HELLO", "sessionWindow": SESSION_WINDOW, "streamWindow": STREAM_WINDOW}
        if self.token:
            hello.update(token=self.token, received=self.received)
        self.socket.send(v1.encode(hello))
        frames = v1.decode(self.socket.receive())
        self.hello = frames.pop(0)
        assert self.hello["type"] == "HELLO", self.hello
        self.token = self.hello.get("token")
        if "received" in self.hello:
            self.resumed()
        else:
            self.limit = max(self.limit, self.hello.get("sessionWindow", 0))
            self.stream_limit = max(self.stream_limit, self.hello.get("streamWindow", 0))
        for frame in frames:
            self.handle(frame)

    def resumed(self):
        self.acknowledged(self.hello["received"])
        frames = list(self.kept)
        frames.append(self.limit_frame(0, self.allowed))
        for fetch in self.fetches.values():
            if fetch.head and not fetch.over:
                frames.append(self.limit_frame(fetch.stream, fetch.allowed))
        for frame in frames:
            self.socket.send(frame)

    def cut(self):
        self.socket.cut()

    def close(self):
        self.socket.close()

    # The way out.

    def sequenced(self, frame):
        data = v1.encode(frame)
        self.kept.append(data)
        self.socket.send(data)

    def fetch(self, url, method="GET", fields=(), tag=b"", end=True, lane="", redirect="follow"):
        """Opens a stream."""
        self.last += 1
        fetch = self.fetches[self.last] = Fetch(self.last)
        request = {
            "tag": tag.hex(), "method": method, "url": url, "lane": lane, "redirect": redirect,
            "decode": True, "connect": None, "header": None, "bodyIdle": None, "total": 30_000,
            "fields": [list(field) for field in fields],
        }
        block = v1.request_to_block(request)
        self.credit(len(block))
        self.sent += len(block)
        frame = {"type": "OPEN", "stream": self.last, "end": end, "piece": block.hex()}
        self.sequenced(frame)
        return fetch

    def data(self, fetch, data, end=False):
        """Sends a piece of a body, as the limits allow."""
        while data or end:
            piece = data[:PIECE]
            self.until(lambda: self.room(fetch, len(piece)) or fetch.over or fetch.stopped)
            if fetch.over or fetch.stopped:
                return
            data = data[len(piece):]
            last = end and not data
            frame = {"type": "DATA", "stream": fetch.stream, "end": last, "data": piece.hex()}
            self.sequenced(frame)
            self.sent += len(piece)
            fetch.sent += len(piece)
            if last:
                return

    def credit(self, n):
        self.until(lambda: self.sent + n <= self.limit)

    def room(self, fetch, n):
        limit = max(fetch.limit or 0, self.stream_limit)
        return self.sent + n <= self.limit and fetch.sent + n <= limit

    def cancel(self, fetch):
        frame = {"type": "RESET", "stream": fetch.stream, "tag": "", "name": "cancelled", "detail": ""}
        self.sequenced(frame)
        fetch.over = True

    def ping(self, payload):
        self.socket.send(v1.encode({"type": "PING", "payload": payload.hex()}))

    def limit_frame(self, stream, limit):
        self.limits_sent += 1
        return v1.encode({"type": "LIMIT", "stream": stream, "bytes": limit})

    # The way in.

    def until(self, done):
        """Receives messages until `done`."""
        while not done():
            counted = self.received
            for frame in v1.decode(self.socket.receive()):
                self.handle(frame)
            if self.received > counted:
                self.socket.send(v1.encode({"type": "ACK", "count": self.received}))

    def finish(self, fetch):
        self.until(lambda: fetch.over)
        return fetch

    def acknowledged(self, count):
        del self.kept[: count - self.acked]
        self.acked = count

    def handle(self, frame):
        kind = frame["type"]
        if kind in ("HEAD", "DATA", "TRAILERS", "MORE", "RESET", "STOP") or frame.get("sequenced"):
            self.received += 1
        if kind in ("HEAD", "DATA", "TRAILERS", "MORE", "RESET", "STOP"):
            fetch = self.fetches[frame["stream"]]
            if not fetch.over:
                self.of_stream(fetch, frame)
            elif kind == "DATA":
                self.take(len(frame["data"]) // 2)
        elif kind == "ACK":
            self.acknowledged(frame["count"])
        elif kind == "LIMIT" and frame["stream"] == 0:
            self.limit = max(self.limit, frame["bytes"])
        elif kind == "LIMIT":
            fetch = self.fetches[frame["stream"]]
            fetch.limit = max(fetch.limit or 0, frame["bytes"])
        elif kind == "PING":
            self.socket.send(v1.encode({"type": "PONG", "payload": frame["payload"]}))
        elif kind == "PONG":
            self.pongs.append(bytes.fromhex(frame["payload"]))

    def of_stream(self, fetch, frame):
        kind = frame["type"]
        if kind == "STOP":
            fetch.stopped = True
        elif kind == "RESET":
            fetch.reset, fetch.over = frame, True
        elif kind == "DATA":
            data = bytes.fromhex(frame["data"])
            assert fetch.head and not fetch.block, "DATA before its HEAD"
            fetch.body += data
            fetch.received += len(data)
            assert fetch.received <= fetch.allowed, "more than the stream's limit"
            fetch.over = frame["end"]
            if not fetch.over and fetch.received + STREAM_WINDOW - fetch.allowed >= STREAM_WINDOW // 2:
                fetch.allowed = fetch.received + STREAM_WINDOW
                self.socket.send(self.limit_frame(fetch.stream, fetch.allowed))
            self.take(len(data))
        else:
            self.block(fetch, frame)

    def block(self, fetch, frame):
        if frame["type"] == "MORE":
            first, data = fetch.block
            data += bytes.fromhex(frame["piece"])
        elif frame["more"]:
            first, data = frame, bytes.fromhex(frame["piece"])
        else:
            first, data = frame, None
        fetch.block = (first, data) if frame["more"] else None
        if "piece" in frame:
            self.take(len(frame["piece"]) // 2)
        else:
            # Encoded again, for its length.
            head = frame.get("response")
            self.take(len(v1.response_to_block(head) if head else v1.fields_to_bytes(frame["fields"])))
        if frame["more"]:
            return
        if data is not None:
            first = {**first, **v1.block_from(v1.TYPES[first["type"]], data)}
        if first["type"] == "HEAD":
            fetch.head, fetch.over = first["response"], first["end"]
        else:
            fetch.trailers, fetch.over = first["fields"], True

    def take(self, n):
        """Bytes of the session are read as they come."""
        self.taken += n
        assert self.taken <= self.allowed, "more than the session's limit"
        if self.taken + SESSION_WINDOW - self.allowed >= SESSION_WINDOW // 2:
            self.allowed = self.taken + SESSION_WINDOW
            self.socket.send(self.limit_frame(0, self.allowed))
