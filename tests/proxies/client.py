"""A WebSocket client under TLS: one text message at a time, in one frame."""

import os
import socket
import struct

from setup import PATIENCE


class Refused(Exception):
    pass


class Client:
    def __init__(self, site, target, fields=(), source="127.0.0.1"):
        plain = socket.create_connection(site.clients, PATIENCE, source_address=(source, 0))
        self.socket = site.tls.wrap_socket(plain, server_hostname="127.0.0.1")
        lines = [f"GET /{target} HTTP/1.1", "Host: example.org", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *fields, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        self.file = self.socket.makefile("rb")
        status = self.file.readline()
        while self.file.readline().strip():
            pass
        if b" 101 " not in status:
            self.leave()
            raise Refused(status)

    def send(self, text):
        payload = text.encode()
        n = len(payload)
        size = struct.pack("!B", 0x80 | n) if n < 126 else struct.pack("!BQ", 0xFF, n)
        assert n < 126 or n > 0xFFFF, "no length in between is needed"
        # A mask of zeros is a mask.
        self.socket.sendall(b"\x81" + size + bytes(4) + payload)

    def receive(self):
        first, size = self.file.read(2)
        assert first == 0x81, f"a frame that begins with {first:#x}"
        if size == 126:
            (size,) = struct.unpack("!H", self.file.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.file.read(8))
        return self.file.read(size).decode()

    def leave(self):
        """Without a word, as most clients do."""
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()
