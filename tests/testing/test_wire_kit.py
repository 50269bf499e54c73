"""The wire kit keeps its word: what a test scripts is what goes over the wire, and what came is recorded."""

from __future__ import annotations

import http.client
import json
import socket
import threading

import pytest
from kit.patience import PATIENCE
from kit.wire import Answer, Cut, Gate, WireServer, each_byte, json_answer, lines, sse
from kit.wire import openai as wire


def ask(server: WireServer, path: str = "/x", content: bytes = b"{}") -> http.client.HTTPConnection:
    """A fresh connection that has sent one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("POST", path, content, {"X-Test": "yes"})
    return connection


def read(connection: http.client.HTTPConnection) -> bytes:
    with connection.getresponse() as response:
        return response.read()


def raw(server: WireServer) -> bytes:
    """Everything that the server sends to one request, until it closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        with sock.makefile("rb") as reader:
            return reader.read()


def test_answers_come_in_the_order_of_the_script(server: WireServer) -> None:
    """Status, headers and body are the scripted ones, one answer to each request."""
    server.script(json_answer({"n": 1}, x_mark="one"), Answer([b"two"], 503))
    connection = ask(server)
    first = connection.getresponse()
    assert (first.status, first.headers["x-mark"], json.load(first)) == (200, "one", {"n": 1})
    connection.request("POST", "/x")
    second = connection.getresponse()
    assert (second.status, second.read()) == (503, b"two")
    connection.close()


def test_requests_are_recorded_with_their_connection(server: WireServer) -> None:
    """Method, path, headers, body, and which connection they came on."""
    server.script(*[json_answer({}) for _ in range(3)])
    one, two = ask(server, "/one", b'{"a": "\xc3\xa4"}'), ask(server, "/two")
    read(one)
    read(two)
    one.request("GET", "/three")
    read(one)
    server.wait_requests(3)
    by_path = {request.path: request for request in server.requests}

    assert by_path["/one"].json == {"a": "ä"}
    assert (by_path["/one"].method, by_path["/three"].method) == ("POST", "GET")
    assert by_path["/one"].headers["x-test"] == "yes"
    assert by_path["/one"].connection is by_path["/three"].connection
    assert by_path["/one"].connection is not by_path["/two"].connection
    one.close()
    two.close()


@pytest.mark.parametrize(
    "sent", [b"POST /", b"POST / HTTP/1.1\r\nhost", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n{"]
)
def test_a_request_that_ends_early_is_not_answered(server: WireServer, sent: bytes) -> None:
    """A client whose time is over may leave in the middle of its request, which uses no answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        while not server.connections:
            threading.Event().wait(0.01)
        server.connections[0].wait_closed()

    assert server.requests == []


def test_a_client_that_leaves_is_noticed(server: WireServer) -> None:
    """Between two requests, and while an answer is held back."""
    gate = Gate()
    server.script(json_answer({}), Answer([b"{", gate]))
    idle = ask(server)
    read(idle)
    assert not server.connections[0].closed.is_set()
    idle.close()
    server.connections[0].wait_closed()

    waiting = ask(server)
    gate.wait_reached()
    assert not server.connections[1].closed.is_set()
    waiting.close()
    server.connections[1].wait_closed()


@pytest.mark.parametrize("place", ["before", "inside"])
def test_a_gate_holds_the_answer_back(server: WireServer, place: str) -> None:
    """Nothing after the gate is sent before the test opens it."""
    gate = Gate()
    answer = Answer([b"one", b"two"], framing="chunked")
    if place == "before":
        answer.before = gate
    else:
        answer.body = [b"one", gate, b"two"]
    server.script(answer)
    connection = ask(server)
    gate.wait_reached()
    if place == "inside":
        response = connection.getresponse()
        assert response.read(3) == b"one"
        assert connection.sock is not None
        gate.open()
        assert response.read() == b"two"
    else:
        gate.open()
        assert read(connection) == b"onetwo"
    connection.close()


def test_a_clean_cut_ends_the_body_early(server: WireServer) -> None:
    """The client sees an end, and less than was promised."""
    server.script(Answer([b"half", Cut()], length=100))
    connection = ask(server)
    with pytest.raises(http.client.IncompleteRead) as caught:
        read(connection)
    connection.close()

    assert caught.value.partial == b"half"


def test_a_reset_is_a_reset(server: WireServer) -> None:
    """The client sees RST and no end."""
    server.script(Answer(before=Cut(reset=True)))
    connection = ask(server)
    with pytest.raises(ConnectionResetError):
        read(connection)
    connection.close()


def test_a_wrong_length_is_sent_as_scripted(server: WireServer) -> None:
    """The lie is in the header; the body stays what it is."""
    server.script(Answer([b"12345"], length=3, headers={"connection": "close"}))

    assert b"content-length: 3\r\n" in (answer := raw(server))
    assert answer.endswith(b"\r\n\r\n12345")


def test_every_piece_is_a_chunk(server: WireServer) -> None:
    """Chunks are those of the script, even single bytes of a character."""
    answer = each_byte(Answer(["ü".encode()], framing="chunked", headers={"connection": "close"}))
    server.script(answer)

    assert raw(server).endswith(b"\r\n\r\n1\r\n\xc3\r\n1\r\n\xbc\r\n0\r\n\r\n")


def test_a_raw_answer_is_all_there_is(server: WireServer) -> None:
    """Any bytes can be sent, HTTP or not."""
    server.script(Answer(raw=[b"220 hello\r\n"]))

    assert raw(server) == b"220 hello\r\n"


def test_events_and_lines_are_framed(server: WireServer) -> None:
    """Server-sent events with their names, the end mark, and newline-delimited JSON."""
    events = b"".join(step for step in sse([{"type": "a", "x": "ü"}, "text"], done=True).body)
    crlf = b"".join(step for step in sse([{"x": 1}], line_end="\r\n").body)

    assert events == 'event: a\ndata: {"type": "a", "x": "ü"}\n\ndata: text\n\ndata: [DONE]\n\n'.encode()
    assert crlf == b'data: {"x": 1}\r\n\r\n'
    assert lines([{"a": 1}, {"b": 2}]).body == [b'{"a": 1}\n', b'{"b": 2}\n']


def test_what_was_not_scripted_is_an_error_and_remembered() -> None:
    """The fixture fails a test over it; here the server is asked directly."""
    server = WireServer()
    connection = ask(server, "/surprise")
    assert connection.getresponse().status == 500
    connection.close()
    server.stop()

    assert [request.path for request in server.unexpected] == ["/surprise"]


def test_what_was_not_asked_for_is_counted() -> None:
    """The fixture fails a test over leftovers too."""
    server = WireServer()
    server.script(json_answer({}), json_answer({}))
    connection = ask(server)
    read(connection)
    connection.close()
    server.stop()

    assert server.leftovers == 1


def test_stopping_ends_threads_and_gates() -> None:
    """An answer that still waits does not keep the test run alive."""
    before = set(threading.enumerate())
    server, gate = WireServer(), Gate()
    server.script(Answer(before=gate))
    connection = ask(server)
    gate.wait_reached()
    server.stop()
    connection.close()

    assert set(threading.enumerate()) == before


def test_rendered_events_hold_the_whole_answer() -> None:
    """The pieces of a rendered stream join to the texts of the answer that they render."""
    answer = wire.response(text="Hello", thoughts=["Hm."], calls=[("add", {"a": 1})])
    events = wire.events(answer, wire.words)
    pieces: dict[str, str] = {}
    for event in events:
        if event["type"].endswith(".delta"):
            pieces[event["type"]] = pieces.get(event["type"], "") + event["delta"]

    assert pieces == {
        "response.reasoning_summary_text.delta": "Hm.",
        "response.output_text.delta": "Hello",
        "response.function_call_arguments.delta": '{"a": 1}',
    }
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"] == answer
