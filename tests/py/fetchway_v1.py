"""The frames of fetchway.v1: bytes to dictionaries and back, as docs/vectors.json writes them.

Written from docs/protocol.md alone, to see that it suffices. For tests only: clear, not fast.
"""

MOST = 2**62 - 1
MAX_PAYLOAD = 16_381
MAX_BLOCK = 65_536

OPEN, HEAD, DATA, TRAILERS, MORE, RESET, STOP = range(0x01, 0x08)
HELLO, ACK, LIMIT, PING, PONG, GOAWAY = range(0x40, 0x46)
NAMES = {
    OPEN: "OPEN", HEAD: "HEAD", DATA: "DATA", TRAILERS: "TRAILERS", MORE: "MORE", RESET: "RESET",
    STOP: "STOP", HELLO: "HELLO", ACK: "ACK", LIMIT: "LIMIT", PING: "PING", PONG: "PONG",
    GOAWAY: "GOAWAY",
}
TYPES = {name: number for number, name in NAMES.items()}
BLOCKS = (OPEN, HEAD, TRAILERS, MORE)
REDIRECTS = ("follow", "manual", "error")
CLOCKS = ("connect", "header", "bodyIdle", "total")
# HELLO's keys that are integers.
NUMBERS = {1: "streams", 2: "sessionWindow", 3: "streamWindow", 4: "resumeWithin", 6: "received"}
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Malformed(Exception):
    """Bytes that are no frame, or no block."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        if n > self.left():
            raise Malformed("it ends too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def u8(self):
        return self.take(1)[0]

    def integer(self):
        first = self.u8()
        rest = self.take((1 << (first >> 6)) - 1)
        return int.from_bytes(bytes([first & 0x3F]) + rest, "big")

    def bytes(self):
        return self.take(self.integer())

    def text(self):
        try:
            return self.bytes().decode()
        except UnicodeDecodeError as error:
            raise Malformed("a text is not UTF-8") from error

    def rest(self):
        return self.take(self.left())

    def end(self):
        if self.left():
            raise Malformed("bytes are left over")


def integer(n):
    for bits, mark, size in ((6, 0, 1), (14, 1, 2), (30, 2, 4), (62, 3, 8)):
        if n < 1 << bits:
            return (n | mark << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(f"{n} is too large")


def lead(data):
    """Bytes, led by their length."""
    return integer(len(data)) + data


def fields_to_bytes(fields):
    out = integer(len(fields))
    for name, value in fields:
        out += lead(name.encode()) + lead(value.encode("latin-1"))
    return out


def fields_from(reader):
    count = reader.integer()
    if count > 1_000:
        raise Malformed("more than 1,000 fields")
    fields = []
    for _ in range(count):
        name, value = reader.bytes(), reader.bytes()
        if not name or not TOKEN.issuperset(name):
            raise Malformed("a name is no token")
        if any(byte < 0x20 and byte != 0x09 or byte == 0x7F for byte in value):
            raise Malformed("a value has a forbidden byte")
        fields.append([name.decode(), value.decode("latin-1")])
    return fields


def tag_from(reader):
    tag = reader.bytes()
    if len(tag) > 256:
        raise Malformed("a tag of more than 256 bytes")
    return tag.hex()


def request_to_block(request):
    how = REDIRECTS.index(request["redirect"]) | (0 if request["decode"] else 4)
    clocks = [request[clock] for clock in CLOCKS]
    return b"".join((
        lead(bytes.fromhex(request["tag"])),
        lead(request["method"].encode()),
        lead(request["url"].encode()),
        lead(request["lane"].encode()),
        bytes([how]),
        *(integer(0 if clock is None else clock + 1) for clock in clocks),
        fields_to_bytes(request["fields"]),
    ))


def request_from(block):
    reader = Reader(block)
    request = {"tag": tag_from(reader)}
    method = reader.bytes()
    if not method or not TOKEN.issuperset(method):
        raise Malformed("a method is no token")
    request["method"] = method.decode()
    request["url"], request["lane"] = reader.text(), reader.text()
    how = reader.u8()
    if how & 3 == 3:
        raise Malformed("an unknown redirect mode")
    request["redirect"], request["decode"] = REDIRECTS[how & 3], not how & 4
    for clock in CLOCKS:
        value = reader.integer()
        request[clock] = value - 1 if value else None
    request["fields"] = fields_from(reader)
    reader.end()
    return request


def response_to_block(response):
    return b"".join((
        lead(bytes.fromhex(response["tag"])),
        integer(response["status"]),
        lead(response["url"].encode()),
        fields_to_bytes(response["fields"]),
    ))


def response_from(block):
    reader = Reader(block)
    response = {"tag": tag_from(reader), "status": reader.integer()}
    if not 100 <= response["status"] <= 999:
        raise Malformed("an impossible status")
    response["url"] = reader.text()
    response["fields"] = fields_from(reader)
    reader.end()
    return response


def trailers_from(block):
    reader = Reader(block)
    fields = fields_from(reader)
    reader.end()
    return fields


def encode(frame):
    """The bytes of a frame."""
    kind = TYPES[frame["type"]]
    payload = b""
    if kind in BLOCKS or kind == DATA:
        flags = (1 if frame["end"] else 0) | (2 if frame.get("more") else 0)
        payload = integer(frame["stream"]) + bytes([flags])
    if kind in BLOCKS:
        if "piece" in frame:
            payload += bytes.fromhex(frame["piece"])
        elif kind == OPEN:
            payload += request_to_block(frame["request"])
        elif kind == HEAD:
            payload += response_to_block(frame["response"])
        else:
            payload += fields_to_bytes(frame["fields"])
    elif kind == DATA:
        payload += bytes.fromhex(frame["data"])
    elif kind == RESET:
        payload = integer(frame["stream"]) + lead(bytes.fromhex(frame["tag"]))
        payload += lead(frame["name"].encode()) + lead(frame["detail"].encode())
    elif kind == STOP:
        payload = integer(frame["stream"])
    elif kind == HELLO:
        payload = hello_to_bytes(frame)
    elif kind == ACK:
        payload = integer(frame["count"])
    elif kind == LIMIT:
        payload = integer(frame["stream"]) + integer(frame["bytes"])
    elif kind in (PING, PONG):
        payload = bytes.fromhex(frame["payload"])
    elif kind == GOAWAY:
        payload = integer(frame["last"]) + lead(frame["detail"].encode())
    return bytes([kind]) + lead(payload)


def hello_to_bytes(hello):
    out = b""
    for key in range(1, 8):
        if key in NUMBERS and NUMBERS[key] in hello:
            out += integer(key) + lead(integer(hello[NUMBERS[key]]))
        elif key == 5 and "token" in hello:
            out += integer(key) + lead(bytes.fromhex(hello["token"]))
        elif key == 7 and "refused" in hello:
            out += integer(key) + lead(hello["refused"].encode())
    return out


def hello_from(reader):
    hello = {"type": "HELLO"}
    while reader.left():
        key, value = reader.integer(), Reader(reader.bytes())
        if key in NUMBERS:
            hello[NUMBERS[key]] = value.integer()
            value.end()
        elif key == 5:
            if value.left() != 16:
                raise Malformed("a token has 16 bytes")
            hello["token"] = value.rest().hex()
        elif key == 7:
            hello["refused"] = Reader(lead(value.rest())).text()
    return hello


def decode(data):
    """The frames of a message."""
    reader, frames = Reader(data), []
    while reader.left():
        kind, length = reader.u8(), reader.integer()
        if length > MAX_PAYLOAD:
            raise Malformed("a frame of more than 16 KiB")
        frames.append(decode_one(kind, Reader(reader.take(length))))
    return frames


def decode_one(kind, payload):
    if kind not in NAMES:
        return {"type": "unknown", "sequenced": kind < 0x40}
    frame = {"type": NAMES[kind]}
    if kind < 0x40:
        frame["stream"] = payload.integer()
        if frame["stream"] == 0:
            raise Malformed("stream 0 is the session")
    if kind in BLOCKS or kind == DATA:
        flags = payload.u8()
        frame["end"] = bool(flags & 1)
    if kind in BLOCKS:
        frame["more"] = bool(flags & 2)
        block = payload.rest()
        if frame["more"] or kind == MORE:
            frame["piece"] = block.hex()
        else:
            frame.update(block_from(kind, block))
    elif kind == DATA:
        frame["data"] = payload.rest().hex()
    elif kind == RESET:
        frame["tag"] = payload.bytes().hex()
        frame["name"], frame["detail"] = payload.text(), payload.text()
    elif kind == HELLO:
        return hello_from(payload)
    elif kind == ACK:
        frame["count"] = payload.integer()
    elif kind == LIMIT:
        frame["stream"], frame["bytes"] = payload.integer(), payload.integer()
    elif kind in (PING, PONG):
        frame["payload"] = payload.rest().hex()
        if len(frame["payload"]) > 16:
            raise Malformed("more than 8 bytes")
    elif kind == GOAWAY:
        frame["last"], frame["detail"] = payload.integer(), payload.text()
    payload.end()
    return frame


def block_from(kind, block):
    """What a whole block says, by the type of the frame that began it."""
    if kind == OPEN:
        return {"request": request_from(block)}
    if kind == HEAD:
        return {"response": response_from(block)}
    return {"fields": trailers_from(block)}
