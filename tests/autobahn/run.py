"""Autobahn's cases against a gateway whose API echoes, judged strictly.

`cargo xtask autobahn` runs this with kosoku installed. Arguments are cases or patterns (`6.4.*`); the
environment names the programs: FETCHWAY_BINARY, FETCHWAY_ORIGIN.
"""

import asyncio
import collections
import json
import os
import subprocess
import sys
import threading

import kosoku

# Without 8 (there is none), 11 (there is none), 12 and 13 (compression, which is not offered).
ALL = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]

# Cases at a time: they mostly wait.
AT_ONCE = 8

# What a case may end with. INFORMATIONAL are those that RFC 6455 leaves open; NON-STRICT, such as
# invalid UTF-8 found at a message's end only, is a failure here.
GOOD = {"OK", "INFORMATIONAL"}

# The longest message of case 9, and the room that a client which sends and reads it needs.
SETTINGS = [
    "max-message=16MiB",
    "queue-bytes=16MiB",
    "send-buffer=16MiB",
    # Cases that run at the same time all have one id.
    "duplicate=many",
]


class Program:
    """A process that writes JSON lines, in one of which stands its address."""

    def __init__(self, args, stream, address_in):
        self.child = subprocess.Popen(
            args, env={}, text=True, stdin=subprocess.PIPE, **{stream: subprocess.PIPE}
        )
        self.output = getattr(self.child, stream)
        said = []
        for line in self.output:
            said.append(line)
            if address := address_in(json.loads(line)):
                self.address = address
                break
        else:
            sys.exit(f"{args[0]} ended: {''.join(said)}")
        # What it still says is read, or it would block on a full pipe.
        self.reader = threading.Thread(target=collections.deque, args=(self.output, 0))
        self.reader.start()

    def stop(self):
        self.child.stdin.close()
        self.child.terminate()
        self.child.wait()
        self.reader.join()


def gateway(api):
    args = [os.environ["FETCHWAY_BINARY"], "gateway", "--log-format", "json"]
    args += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--api", f"http://{api}/"]
    for setting in SETTINGS:
        args += ["--set", f"gateways[0].{setting}"]
    return Program(args, "stderr", lambda line: line.get("fields", {}).get("addr"))


def run(cases):
    api = Program([os.environ["FETCHWAY_ORIGIN"], "api"], "stdout", lambda line: line.get("addr"))
    try:
        node = gateway(api.address)
        try:
            url = f"ws://{node.address}/autobahn"
            return asyncio.run(kosoku.run_fuzzingclient(url, cases, concurrency=AT_ONCE))
        except kosoku.FailureError as failure:
            return failure.results
        finally:
            node.stop()
    finally:
        api.stop()


def main(cases):
    results = run(cases or ALL)
    failed, verdicts = 0, collections.Counter()
    for result in results:
        verdict, close = result.behavior.value, result.behavior_close.value
        verdicts[verdict] += 1
        if verdict in GOOD and close in GOOD:
            continue
        failed += 1
        print(f"{result.case_id}: {verdict}: {result.result}\n  close: {close}: {result.result_close}")
        print(f"  expected: {str(result.expected)[:300]}\n  received: {str(result.received)[:300]}")
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    print(f"{len(results)} cases: {told}")
    print(f"# pass {len(results) - failed}\n# fail {failed}")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
