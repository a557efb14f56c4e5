"""A web server at the network's edge: keeps what it gets; answers, refuses, limits, drips or stays silent where told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.waiting import PATIENCE


class WebServer:
    """`answers` are (status, headers, body), used up one by one, the last for ever; status 0 hangs, -1 drips a byte at a time."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], str]] = [(200, {}, "{}")]
        self.closing = threading.Event()
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status, headers, text = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if status == 0:
                    outer.closing.wait(PATIENCE)
                    return
                self.send_response(200 if status == -1 else status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                for piece in text if status == -1 else [text]:
                    self.wfile.write(piece.encode())
                    self.wfile.flush()
                    if status == -1 and outer.closing.wait(0.1):
                        return

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  the caller hung up: that is the test
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()


@contextmanager
def web_server() -> Iterator[WebServer]:
    made = WebServer()
    yield made
    made.closing.set()
    made.server.shutdown()
    made.server.server_close()
